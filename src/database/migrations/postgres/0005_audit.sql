-- Queries of the audit log go by time, newest first, and among events of one time by rowid.
CREATE INDEX audit_events_time ON audit_events (time, rowid);
CREATE INDEX audit_events_type ON audit_events (type, time, rowid);
CREATE INDEX audit_events_subject ON audit_events (subject, time, rowid) WHERE subject IS NOT NULL;
CREATE INDEX audit_events_repo ON audit_events (repo, time, rowid) WHERE repo IS NOT NULL;
-- Most events are ok, and of those the newest are found soon.
CREATE INDEX audit_events_outcome ON audit_events (outcome, time, rowid) WHERE outcome <> 'ok';
CREATE INDEX audit_events_ticket ON audit_events (ticket_id, time, rowid) WHERE ticket_id IS NOT NULL;

-- What is known of events beside themselves. `named`: a chain began behind this event. `pruned`: retention deleted the
-- events of the chain up to this one. `seal` is made like the hash of an event, from all the others.
CREATE TABLE audit_anchors (
    chain TEXT NOT NULL,
    seq   BIGINT NOT NULL,
    hash  TEXT NOT NULL,
    kind  TEXT NOT NULL,
    seal  TEXT NOT NULL,
    PRIMARY KEY (chain, seq, kind)
);

-- One row, for replicas to queue up at before they prune.
CREATE TABLE audit_retention (runs BIGINT NOT NULL);
INSERT INTO audit_retention VALUES (0);
