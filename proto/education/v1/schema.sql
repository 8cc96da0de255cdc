-- The ministry's own database. Tables first, then indexes.
CREATE TABLE school (
    id       INTEGER PRIMARY KEY NOT NULL,
    name     TEXT,
    province TEXT NOT NULL,
    county   TEXT NOT NULL
);

CREATE TABLE enrolment (
    student_id  TEXT    NOT NULL CHECK (length(student_id) = 10),
    school_id   INTEGER NOT NULL REFERENCES school (id),
    status      INTEGER NOT NULL CHECK (status BETWEEN 1 AND 3),
    level       INTEGER NOT NULL CHECK (level BETWEEN 1 AND 3),
    grade       INTEGER NOT NULL CHECK (grade BETWEEN 1 AND 12),
    school_year TEXT    NOT NULL -- two Jalali years, 1405-1406
);

CREATE TABLE degree (
    student_id     TEXT    NOT NULL CHECK (length(student_id) = 10),
    level          INTEGER NOT NULL CHECK (level BETWEEN 1 AND 6),
    field_of_study TEXT,
    awarded_on     TEXT    NOT NULL, -- Gregorian, YYYY-MM-DD
    average_mark   REAL CHECK (average_mark BETWEEN 0 AND 20),
    province       TEXT    NOT NULL,
    county         TEXT    NOT NULL
);

CREATE UNIQUE INDEX enrolment_by_student ON enrolment (student_id);
CREATE INDEX degree_by_student ON degree (student_id);
