-- The administrator and the request that asked the process of a lease to revoke it, encrypted under a key that is not in the database.
ALTER TABLE leases ADD COLUMN revoked_by TEXT;
