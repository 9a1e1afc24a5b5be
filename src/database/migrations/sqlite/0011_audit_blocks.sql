-- Blocks of rows instead of a full-text index: an event of that index cost more than its row. A block stands for the rows `first_row` to
-- `last_row` and the filtered column number `kind` (0 type, 1 outcome, 2 subject, 3 repo, 4 branch, 5 ticket_id). `hashes` has two bytes
-- for each row: a hash of the column's value, 0 for NULL or a missing row. `since` and `until` are the earliest and the latest time.
-- Rows that belong to no block are found all the same, by comparing them one by one.
DROP TRIGGER audit_events_written;
DROP TRIGGER audit_events_deleted;
DROP TABLE audit_index;
DROP VIEW audit_words;

CREATE TABLE audit_blocks (
    kind      INTEGER NOT NULL,
    last_row  INTEGER NOT NULL,
    first_row INTEGER NOT NULL,
    since     TEXT    NOT NULL,
    until     TEXT    NOT NULL,
    hashes    BLOB    NOT NULL,
    PRIMARY KEY (kind, last_row)
) WITHOUT ROWID;

-- Row numbers are used again only if the newest rows were deleted.
CREATE TRIGGER audit_events_deleted AFTER DELETE ON audit_events
WHEN old.rowid > (SELECT coalesce(max(rowid), 0) FROM audit_events) BEGIN
    DELETE FROM audit_blocks WHERE kind IN (0, 1, 2, 3, 4, 5) AND last_row > (SELECT coalesce(max(rowid), 0) FROM audit_events);
END;
