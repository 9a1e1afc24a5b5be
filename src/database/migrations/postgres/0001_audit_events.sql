-- One row an audit event. `event` is the very text that was hashed; the other columns repeat parts of it for queries.
-- `rowid` is what every SQLite table has: the order in which rows were written.
CREATE TABLE audit_events (
    rowid     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain     TEXT   NOT NULL,
    seq       BIGINT NOT NULL,
    prev_hash TEXT   NOT NULL,
    hash      TEXT   NOT NULL,
    time      TEXT   NOT NULL,
    type      TEXT   NOT NULL,
    outcome   TEXT   NOT NULL,
    subject   TEXT,
    repo      TEXT,
    branch    TEXT,
    ticket_id TEXT,
    event     TEXT   NOT NULL,
    UNIQUE (chain, seq)
);
