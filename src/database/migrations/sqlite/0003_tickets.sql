-- One row a ticket. `id` is the public one; `details` is what is no secret about the ticket, to the byte as the bundle is
-- bound to it; `verifier` proves the key of the URL, and `bundle` is sealed under it: nothing here opens it.
-- Times are microseconds of the epoch. `owner` is a hash of the caller's identity, for counting.
-- `state`: 0 waiting, 1 redeemed, 2 expired, 3 revoked. `ended_at` and `replay` (what a repeated download has to show) are
-- of redeemed ones. A bundle that may not be handed over any more is gone, and `bundle_bytes` 0.
CREATE TABLE tickets (
    id           TEXT NOT NULL PRIMARY KEY,
    owner        TEXT NOT NULL,
    issued_at    INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    details      BLOB   NOT NULL,
    verifier     BLOB   NOT NULL,
    bundle       BLOB,
    bundle_bytes INTEGER NOT NULL,
    state        INTEGER NOT NULL DEFAULT 0,
    ended_at     INTEGER,
    replay       BLOB
);
CREATE INDEX tickets_of_owner ON tickets (owner) WHERE bundle_bytes > 0;
CREATE INDEX tickets_by_age ON tickets (issued_at, id) WHERE state = 0;
CREATE INDEX tickets_by_expiry ON tickets (expires_at) WHERE state = 0;
CREATE INDEX tickets_ended ON tickets (expires_at) WHERE state <> 0;
CREATE INDEX tickets_replayed ON tickets (ended_at) WHERE state = 1 AND bundle_bytes > 0;
