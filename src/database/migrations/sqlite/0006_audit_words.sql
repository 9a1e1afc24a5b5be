-- Six ordered indices cost more than the events themselves: each event went to six other places of the file. Its words go to
-- one full-text index instead, which is appended to and merged now and then (FTS5).
DROP INDEX audit_events_time;
DROP INDEX audit_events_type;
DROP INDEX audit_events_subject;
DROP INDEX audit_events_repo;
DROP INDEX audit_events_outcome;
DROP INDEX audit_events_ticket;

-- A word is a letter and a text in hexadecimal, so that it is a word whatever the text. Of a time there are five: its year,
-- month, day, hour and minute.
CREATE VIEW audit_words AS
SELECT rowid AS "row",
    't' || hex(type) || ' o' || hex(outcome) || coalesce(' s' || hex(subject), '') || coalesce(' r' || hex(repo), '')
        || coalesce(' b' || hex(branch), '') || coalesce(' k' || hex(ticket_id), '')
        || ' a' || substr(time, 1, 4) || ' a' || substr(time, 1, 4) || substr(time, 6, 2)
        || ' a' || substr(time, 1, 4) || substr(time, 6, 2) || substr(time, 9, 2)
        || ' a' || substr(time, 1, 4) || substr(time, 6, 2) || substr(time, 9, 2) || substr(time, 12, 2)
        || ' a' || substr(time, 1, 4) || substr(time, 6, 2) || substr(time, 9, 2) || substr(time, 12, 2) || substr(time, 15, 2)
        AS words
FROM audit_events;

CREATE VIRTUAL TABLE audit_index USING fts5 (words, content = '', contentless_delete = 1, detail = none, tokenize = ascii);
-- Events are deleted from the oldest end. To merge what is left of old parts again and again would hold up whoever writes, for
-- seconds; they go when they are merged with newer ones.
INSERT INTO audit_index (audit_index, rank) VALUES ('deletemerge', 0);
INSERT INTO audit_index (rowid, words) SELECT "row", words FROM audit_words;

CREATE TRIGGER audit_events_written AFTER INSERT ON audit_events BEGIN
    INSERT INTO audit_index (rowid, words) SELECT "row", words FROM audit_words WHERE "row" = new.rowid;
END;
CREATE TRIGGER audit_events_deleted AFTER DELETE ON audit_events BEGIN
    DELETE FROM audit_index WHERE rowid = old.rowid;
END;
