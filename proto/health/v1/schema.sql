-- The insurer's own database: its column names are its own, the statements map them. Tables first, then indexes.
CREATE TABLE insured (
    code_melli   TEXT    NOT NULL CHECK (length(code_melli) = 10),
    surname      TEXT    NOT NULL, -- typed by hand for decades: some hold Arabic ي and ك
    fund         INTEGER NOT NULL CHECK (fund BETWEEN 1 AND 4),
    state        INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),
    since_jalali TEXT    NOT NULL, -- Jalali, YYYY/MM/DD
    valid_until  TEXT, -- Gregorian, YYYY-MM-DD; NULL: open-ended
    copay        INTEGER NOT NULL CHECK (copay BETWEEN 0 AND 100),
    -- The person through whom this one is insured, and how they are related; both NULL for a main insured person.
    main_insured TEXT,
    relation     INTEGER CHECK (relation IN (1, 2)),
    birth_year   INTEGER, -- Jalali
    province     TEXT    NOT NULL,
    county       TEXT    NOT NULL,
    CHECK ((main_insured IS NULL) = (relation IS NULL))
);

CREATE UNIQUE INDEX insured_by_code_melli ON insured (code_melli);
CREATE INDEX insured_by_main ON insured (main_insured) WHERE main_insured IS NOT NULL;
