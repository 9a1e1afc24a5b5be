-- When policies matched and secrets were read for the last time, taken from the audit log. `kind`: matched (the policy), read (a secret
-- of it), caller and repo (who used it, in `name`). `store` and `path` (a template) are empty where the policy itself is meant.
-- Times are texts as in audit_events.
CREATE TABLE policy_usage (
    policy  TEXT NOT NULL,
    store   TEXT NOT NULL,
    path    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    last_at TEXT NOT NULL,
    PRIMARY KEY (policy, store, path, kind, name)
);
CREATE INDEX policy_usage_by_age ON policy_usage (last_at);
-- The few rows that are read for every inventory.
CREATE INDEX policy_usage_times ON policy_usage (policy) WHERE kind IN ('matched', 'read');

-- One row: the last event that is certainly counted.
CREATE TABLE policy_usage_head (last_row INTEGER NOT NULL);
INSERT INTO policy_usage_head VALUES (0);
