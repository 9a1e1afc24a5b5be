-- Dynamic leases, on record before they are handed out. `sealed` holds the store's handle, which takes the lease back, and
-- who holds it, under a key that is not in the database.
CREATE TABLE leases (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    owner       TEXT NOT NULL,
    store       TEXT NOT NULL,
    path        TEXT NOT NULL,
    mode        TEXT NOT NULL,
    state       TEXT NOT NULL,
    acquired_at TEXT COLLATE "C" NOT NULL,
    expires_at  TEXT NOT NULL,
    sealed      TEXT NOT NULL
);
CREATE INDEX leases_by_owner ON leases (owner, state);
CREATE INDEX leases_by_age ON leases (acquired_at, id);

-- The processes that look after leases. Whoever does not count on is dead, and another adopts its leases.
CREATE TABLE lease_owners (
    owner TEXT    NOT NULL PRIMARY KEY,
    beat  BIGINT NOT NULL
);
