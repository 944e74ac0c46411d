-- Up to where each log was pruned: the number of the last that was removed, and for the audit log its hash, to which the
-- first that is left is chained.
INSERT INTO log_heads (name, sequence, hash) VALUES ('events_pruned', 0, '');
INSERT INTO log_heads (name, sequence, hash)
VALUES ('audit_pruned', 0, '0000000000000000000000000000000000000000000000000000000000000000');
CREATE INDEX events_by_age ON events (at_ms);
CREATE INDEX meetings_by_end ON meetings (ends_at_ms);
