-- How far each reader of the events has come. What happened before there was a reader is not told.
CREATE TABLE readers (
    name TEXT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL
);
INSERT INTO readers (name, sequence) SELECT 'webhooks', sequence FROM log_heads WHERE name = 'events';
INSERT INTO readers (name, sequence) SELECT 'mail', sequence FROM log_heads WHERE name = 'events';

INSERT INTO log_heads (name, sequence, hash) VALUES ('outbox', 0, '');

-- Secrets of links, sealed with a key that is not in the database: changes are mailed with the link.
CREATE TABLE invitation_links (
    invitation_id TEXT NOT NULL PRIMARY KEY REFERENCES invitations (id),
    sealed_secret TEXT NOT NULL
);
CREATE INDEX invitations_by_email ON invitations (LOWER(email));

CREATE TABLE calendar_feeds (
    id TEXT NOT NULL PRIMARY KEY,
    -- In lower case.
    email TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT,
    version BIGINT NOT NULL
);
CREATE INDEX calendar_feeds_by_email ON calendar_feeds (email);

-- What the calendar of somebody invited was mailed last.
CREATE TABLE mailed (
    invitation_id TEXT NOT NULL PRIMARY KEY REFERENCES invitations (id),
    address TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    link_hash TEXT NOT NULL
);

CREATE TABLE webhooks (
    id TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    -- A JSON array; an empty one stands for all.
    kinds TEXT NOT NULL,
    sealed_secret TEXT NOT NULL,
    is_enabled BIGINT NOT NULL,
    -- Events up to this one are older than the endpoint.
    after_sequence BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL
);

-- What is on its way to somebody, or has arrived, or never will.
CREATE TABLE outbox (
    id TEXT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    channel TEXT NOT NULL,
    target TEXT NOT NULL,
    -- Within a target, what is in one lane goes one after the other.
    lane TEXT NOT NULL,
    notice TEXT NOT NULL,
    kind TEXT NOT NULL,
    content TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    -- The next attempt; while one is under way, when it counts as lost.
    due_at_ms BIGINT NOT NULL,
    failure TEXT,
    created_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT
);
CREATE INDEX outbox_by_due ON outbox (channel, state, due_at_ms);
CREATE INDEX outbox_by_lane ON outbox (target, lane, state, number);
CREATE INDEX outbox_by_target ON outbox (target, state, id);
CREATE INDEX outbox_by_end ON outbox (ended_at_ms);
