-- The bank's own database. Tables first, then indexes.
CREATE TABLE account (
    iban     TEXT    NOT NULL CHECK (length(iban) = 26),
    owner    TEXT    NOT NULL CHECK (length(owner) = 10),
    open     INTEGER NOT NULL CHECK (open IN (0, 1))
);

CREATE TABLE customer (
    national_id      TEXT    NOT NULL CHECK (length(national_id) = 10),
    standing         INTEGER NOT NULL CHECK (standing BETWEEN 1 AND 3),
    open_loans       INTEGER NOT NULL CHECK (open_loans >= 0),
    owed_rials       INTEGER NOT NULL CHECK (owed_rials >= 0),
    overdue          INTEGER NOT NULL CHECK (overdue >= 0),
    returned_cheques INTEGER CHECK (returned_cheques >= 0),
    last_paid_on     TEXT, -- Gregorian, YYYY-MM-DD
    province         TEXT    NOT NULL,
    county           TEXT    NOT NULL
);

CREATE UNIQUE INDEX account_by_iban ON account (iban);
CREATE UNIQUE INDEX customer_by_national_id ON customer (national_id);
