-- How large the log is: the rows behind the segment before, up to `last_row`, take so many bytes.
CREATE TABLE audit_segments (
    last_row INTEGER NOT NULL PRIMARY KEY,
    bytes    INTEGER NOT NULL
);
