-- People with an account. Either login and password_hash are set, or provider and provider_subject.
CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT,
    organisation TEXT,
    role TEXT NOT NULL,
    login TEXT UNIQUE,
    password_hash TEXT,
    provider TEXT,
    provider_subject TEXT,
    disabled_at_ms BIGINT,
    version BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    UNIQUE (provider, provider_subject)
);

-- Sessions that have not ended.
CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    secret_hash TEXT NOT NULL UNIQUE,
    -- The provider that it came from, and that provider's name for it.
    provider TEXT,
    provider_session TEXT,
    created_at_ms BIGINT NOT NULL,
    seen_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, created_at_ms);
CREATE INDEX sessions_by_provider ON sessions (provider, provider_session);
CREATE INDEX sessions_by_expiry ON sessions (expires_at_ms);

-- The list of who sees their own meetings alone.
CREATE INDEX meetings_by_owner ON meetings (owner, starts_at_ms, id);
