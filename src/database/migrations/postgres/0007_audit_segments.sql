-- How large the log is: the rows behind the segment before, up to `last_row`, take so many bytes.
CREATE TABLE audit_segments (
    last_row BIGINT NOT NULL PRIMARY KEY,
    bytes    BIGINT NOT NULL
);
