-- The civil register's own database. Tables first, indexes after the load: the demo splits the file at the first index.
CREATE TABLE village (
    id         INTEGER PRIMARY KEY NOT NULL,
    name       TEXT    NOT NULL,
    province   TEXT    NOT NULL CHECK (length(province) = 2),
    county     TEXT    NOT NULL CHECK (length(county) = 4),
    households INTEGER NOT NULL CHECK (households > 0),
    -- The counter office that serves the village, e.g. office/khorramabad-12; NULL where none does.
    office     TEXT
);

CREATE TABLE person (
    national_id    TEXT    NOT NULL CHECK (length(national_id) = 10),
    given_name     TEXT    NOT NULL,
    family_name    TEXT    NOT NULL,
    father_name    TEXT,
    father_id      TEXT,
    mother_id      TEXT,
    birth_date     TEXT    NOT NULL, -- Gregorian, YYYY-MM-DD
    birth_jalali   TEXT    NOT NULL, -- as printed in the identity booklet, YYYY/MM/DD
    sex            TEXT    NOT NULL CHECK (sex IN ('F', 'M')),
    life_status    INTEGER NOT NULL CHECK (life_status IN (1, 2)),
    marital_status INTEGER CHECK (marital_status IN (1, 2, 3)),
    province       TEXT    NOT NULL CHECK (length(province) = 2),
    county         TEXT    NOT NULL CHECK (length(county) = 4),
    village_id     INTEGER REFERENCES village (id) -- NULL: lives in a town
);

CREATE UNIQUE INDEX person_by_national_id ON person (national_id);
CREATE INDEX person_by_father ON person (father_id) WHERE father_id IS NOT NULL;
CREATE INDEX person_by_mother ON person (mother_id) WHERE mother_id IS NOT NULL;
