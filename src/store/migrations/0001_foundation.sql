-- Sequence and last hash of each log: one row each, which every writer of the log updates.
CREATE TABLE log_heads (
    name TEXT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO log_heads (name, sequence, hash) VALUES ('events', 0, '');
INSERT INTO log_heads (name, sequence, hash)
VALUES ('audit', 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- What happened, written in the transaction that made it happen.
CREATE TABLE events (
    sequence BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX events_by_subject ON events (subject, sequence);

-- Who did what. Each row holds the hash of the one before it.
CREATE TABLE audit (
    sequence BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    details TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT,
    revoked_at_ms BIGINT,
    version BIGINT NOT NULL
);

-- Answers to requests that may be sent again, sealed with a key that only the caller can derive.
CREATE TABLE idempotency (
    caller TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    sealed_answer TEXT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    PRIMARY KEY (caller, idempotency_key)
);
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at_ms);
