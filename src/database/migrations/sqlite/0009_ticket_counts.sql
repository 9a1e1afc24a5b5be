-- How many tickets a caller got from a policy with ticket.maxPerCaller. `owner` is the one of tickets; `last_at` is the time of
-- the last ticket, in microseconds of the epoch.
CREATE TABLE ticket_counts (
    owner   TEXT NOT NULL,
    policy  TEXT NOT NULL,
    issued  INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (owner, policy)
);
CREATE INDEX ticket_counts_by_age ON ticket_counts (last_at);
