CREATE TABLE meetings (
    id TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    title TEXT NOT NULL,
    -- The title as it is searched.
    title_folded TEXT NOT NULL,
    start_local TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    duration_minutes BIGINT NOT NULL,
    recurrence TEXT,
    -- The first instant, and the end of the last occurrence; the greatest number where there is none.
    starts_at_ms BIGINT NOT NULL,
    ends_at_ms BIGINT NOT NULL,
    capacity BIGINT NOT NULL,
    lobby TEXT NOT NULL,
    required_specialties TEXT NOT NULL,
    settings TEXT NOT NULL,
    status TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL
);
-- Lists are in this order, and what they are searched by stands in the index: a search reads no row that it does not show.
CREATE INDEX meetings_by_start ON meetings (starts_at_ms, id, ends_at_ms, status, title_folded);

-- Occurrences of a series that are not as the rule says.
CREATE TABLE occurrences (
    meeting_id TEXT NOT NULL REFERENCES meetings (id),
    -- Local time by the rule.
    original TEXT NOT NULL,
    -- Absent where it is cancelled.
    start_local TEXT,
    duration_minutes BIGINT,
    PRIMARY KEY (meeting_id, original)
);

CREATE TABLE invitations (
    id TEXT NOT NULL PRIMARY KEY,
    meeting_id TEXT NOT NULL REFERENCES meetings (id),
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    specialty TEXT,
    site TEXT,
    email TEXT,
    link_hash TEXT NOT NULL,
    link_expires_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT,
    version BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX invitations_by_meeting ON invitations (meeting_id, id);
