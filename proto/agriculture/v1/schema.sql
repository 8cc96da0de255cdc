-- The organisation of agriculture's own database. Tables first, then indexes.
CREATE TABLE farmer (
    national_code TEXT    NOT NULL CHECK (length(national_code) = 10),
    file_number   TEXT    NOT NULL,
    tenure        INTEGER NOT NULL CHECK (tenure BETWEEN 1 AND 3),
    registered_on TEXT    NOT NULL, -- Jalali, YYYY/MM/DD
    parcels       INTEGER NOT NULL CHECK (parcels >= 0),
    hectares      REAL    NOT NULL CHECK (hectares >= 0),
    cooperative   TEXT,
    mobile        TEXT, -- +98 and ten digits
    province      TEXT    NOT NULL,
    county        TEXT    NOT NULL
);

CREATE TABLE parcel (
    number   INTEGER PRIMARY KEY NOT NULL,
    farmer   TEXT    NOT NULL CHECK (length(farmer) = 10),
    hectares REAL    NOT NULL CHECK (hectares > 0),
    water    INTEGER NOT NULL CHECK (water IN (1, 2)),
    crop     TEXT,
    titled   INTEGER NOT NULL CHECK (titled IN (0, 1)),
    village  TEXT    NOT NULL,
    province TEXT    NOT NULL,
    county   TEXT    NOT NULL
);

CREATE UNIQUE INDEX farmer_by_national_code ON farmer (national_code);
CREATE INDEX parcel_by_farmer ON parcel (farmer);
