-- A meeting that is being held, or was ended: from the first knock on.
CREATE TABLE gatherings (
    meeting_id TEXT NOT NULL PRIMARY KEY REFERENCES meetings (id),
    is_locked BIGINT NOT NULL,
    -- When a host ended it; absent while it goes on.
    ended_at_ms BIGINT,
    -- When somebody was last seen in its room, or knocked.
    occupied_at_ms BIGINT NOT NULL
);
CREATE INDEX gatherings_by_use ON gatherings (occupied_at_ms);

-- Where somebody stands at the door. Who comes straight in has no row until something is decided about them.
CREATE TABLE places (
    invitation_id TEXT NOT NULL PRIMARY KEY REFERENCES invitations (id),
    meeting_id TEXT NOT NULL REFERENCES meetings (id),
    standing TEXT NOT NULL,
    -- For the person, in the words of a host.
    message TEXT,
    -- Absent while they are not at the door.
    ticket_hash TEXT,
    -- Whether the ticket has become a token.
    is_used BIGINT NOT NULL,
    changed_at_ms BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX places_by_meeting ON places (meeting_id, invitation_id);

-- What the links before this moment opened is shut.
ALTER TABLE invitations ADD COLUMN link_renewed_at_ms BIGINT;
