-- The policies as they are now. Names are ordered by their bytes, whatever the database's language.
CREATE TABLE policies (
    name       TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    revision   BIGINT NOT NULL,
    created_at TEXT   NOT NULL,
    updated_at TEXT   NOT NULL,
    updated_by TEXT   NOT NULL,
    spec       TEXT   NOT NULL
);

-- What was ever done to one. `diff` is JSON: where, what was there, what came.
CREATE TABLE policy_revisions (
    revision BIGINT NOT NULL PRIMARY KEY,
    name     TEXT   COLLATE "C" NOT NULL,
    at       TEXT   NOT NULL,
    by       TEXT   NOT NULL,
    change   TEXT   NOT NULL,
    diff     TEXT   NOT NULL
);
CREATE INDEX policy_revisions_by_name ON policy_revisions (name, revision);

-- One row: the last revision. Whoever writes takes the next one first and so is alone until done.
CREATE TABLE policy_head (
    one      BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    revision BIGINT NOT NULL
);
INSERT INTO policy_head (one, revision) VALUES (1, 0);
