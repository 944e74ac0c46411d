CREATE TABLE cases (
    id TEXT NOT NULL PRIMARY KEY,
    meeting_id TEXT NOT NULL REFERENCES meetings (id),
    -- Local time by the rule, as in occurrences.
    occurrence TEXT NOT NULL,
    position BIGINT NOT NULL,
    reference TEXT NOT NULL,
    notes TEXT,
    stage TEXT NOT NULL,
    -- When the timer ran: pairs of moments.
    times TEXT NOT NULL,
    outcome TEXT,
    outcome_version BIGINT NOT NULL,
    outcome_confirmed_at_ms BIGINT,
    outcome_confirmed_by TEXT,
    -- As it was when the case was finished.
    attendance TEXT,
    -- Specialties that were required then.
    required TEXT,
    finished_at_ms BIGINT,
    version BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX cases_by_occurrence ON cases (meeting_id, occurrence, position);
CREATE INDEX cases_by_age ON cases (created_at_ms);
-- A meeting is about one case at a time.
CREATE UNIQUE INDEX current_case ON cases (meeting_id) WHERE stage = 'current';

-- Only ever added to.
CREATE TABLE outcome_amendments (
    case_id TEXT NOT NULL REFERENCES cases (id),
    number BIGINT NOT NULL,
    text TEXT NOT NULL,
    reason TEXT NOT NULL,
    made_by TEXT NOT NULL,
    made_at_ms BIGINT NOT NULL,
    PRIMARY KEY (case_id, number)
);

-- Servers that have people in their rooms, and when each was last known to run.
CREATE TABLE server_runs (
    id TEXT NOT NULL PRIMARY KEY,
    beat_at_ms BIGINT NOT NULL
);

-- Stays of people in a meeting's room.
CREATE TABLE presence (
    -- Of the media side; different each time that somebody joins.
    participant TEXT NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL,
    meeting_id TEXT NOT NULL REFERENCES meetings (id),
    invitation_id TEXT NOT NULL REFERENCES invitations (id),
    joined_at_ms BIGINT NOT NULL,
    left_at_ms BIGINT
);
CREATE INDEX presence_by_meeting ON presence (meeting_id, joined_at_ms);
CREATE INDEX presence_by_age ON presence (joined_at_ms);
CREATE INDEX present_now ON presence (run_id) WHERE left_at_ms IS NULL;

-- An occurrence as it takes place: from the first who came until nobody has been there for a while.
CREATE TABLE sittings (
    meeting_id TEXT NOT NULL REFERENCES meetings (id),
    occurrence TEXT NOT NULL,
    began_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT,
    -- Specialties that were told to be missing; absent before anything was told.
    missing TEXT,
    PRIMARY KEY (meeting_id, began_at_ms)
);
CREATE UNIQUE INDEX open_sitting ON sittings (meeting_id) WHERE ended_at_ms IS NULL;
