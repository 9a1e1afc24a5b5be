-- What a caller has, and what all have together, is counted from the index alone: no row is read, and no bundle.
DROP INDEX tickets_of_owner;
CREATE INDEX tickets_of_owner ON tickets (owner, state, bundle_bytes) WHERE bundle_bytes > 0;
