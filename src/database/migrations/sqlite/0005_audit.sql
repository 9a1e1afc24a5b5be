-- Queries of the audit log go by time, newest first (and by rowid, which ends every SQLite index).
CREATE INDEX audit_events_time ON audit_events (time);
CREATE INDEX audit_events_type ON audit_events (type, time);
CREATE INDEX audit_events_subject ON audit_events (subject, time) WHERE subject IS NOT NULL;
CREATE INDEX audit_events_repo ON audit_events (repo, time) WHERE repo IS NOT NULL;
-- Most events are ok, and of those the newest are found soon.
CREATE INDEX audit_events_outcome ON audit_events (outcome, time) WHERE outcome <> 'ok';
CREATE INDEX audit_events_ticket ON audit_events (ticket_id, time) WHERE ticket_id IS NOT NULL;

-- What is known of events beside themselves. `named`: a chain began behind this event. `pruned`: retention deleted the
-- events of the chain up to this one. `seal` is made like the hash of an event, from all the others.
CREATE TABLE audit_anchors (
    chain TEXT NOT NULL,
    seq   INTEGER NOT NULL,
    hash  TEXT NOT NULL,
    kind  TEXT NOT NULL,
    seal  TEXT NOT NULL,
    PRIMARY KEY (chain, seq, kind)
);

-- One row, for replicas to queue up at before they prune.
CREATE TABLE audit_retention (runs INTEGER NOT NULL);
INSERT INTO audit_retention VALUES (0);
