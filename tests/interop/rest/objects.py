"""Real objects for requests to be about: made through the API itself, with API keys that the environment names."""

import datetime
import itertools
import os

import requests

BASE = os.environ["INTEROP_HTTP"]
# Several, because each may make 1,200 requests per minute; what is tested here is not the limit.
KEYS = os.environ["REST_API_KEYS"].split()
START = "2027-01-05T08:30:00"
WINDOW = {"from": "2027-01-01T00:00:00Z", "to": "2027-06-01T00:00:00Z"}
REQUEST_SECONDS = 10
LINKS = 8

_turns = itertools.cycle(KEYS)
_session = requests.Session()


def authorization():
    """The header of the next key."""
    return f"Bearer {next(_turns)}"


def _ask(method, path, body=None, headers=None):
    headers = {"Authorization": authorization(), **(headers or {})}
    answer = _session.request(method, BASE + path, json=body, headers=headers, timeout=REQUEST_SECONDS)
    if not answer.ok:
        raise RuntimeError(f"{method} {path} is answered with {answer.status_code}: {answer.text}")
    return answer.json() if answer.content else None


def meeting(lobby="nobody"):
    """A weekly series with invitations possible."""
    asked = {
        "title": "Lung MDT",
        "start": START,
        "time_zone": "Europe/London",
        "duration_minutes": 60,
        "recurrence": "FREQ=WEEKLY;BYDAY=TU;COUNT=20",
        "lobby": lobby,
    }
    return _ask("POST", "/api/v1/meetings", asked)["id"]


def under_way(lobby="nobody"):
    """A meeting that goes on now, so that links open it."""
    now = datetime.datetime.now(datetime.timezone.utc)
    asked = {
        "title": "Urgent case",
        "start": now.strftime("%Y-%m-%dT%H:%M:%S"),
        "time_zone": "UTC",
        "duration_minutes": 60,
        "lobby": lobby,
    }
    return _ask("POST", "/api/v1/meetings", asked)["id"]


def member():
    """A meeting and an invitation to it."""
    made = under_way()
    return made, invitation(made)[0]


def waiting():
    """A meeting, an invitation to it, and the ticket of who waits at its door."""
    made = under_way(lobby="everyone")
    invited, link = invitation(made)
    ticket = _ask("POST", "/api/v1/join/invitation", {"link_secret": link})["ticket"]
    return made, invited, ticket


def admitted():
    """The ticket of somebody who waits no longer: what they listen to ends by itself."""
    made, invited, ticket = waiting()
    _ask("POST", f"/api/v1/meetings/{made}/participants/{invited}/admit")
    return ticket


def occurrence():
    """A meeting, and which of its series is left as the rule says."""
    return meeting(), "2027-01-12T08:30:00"


def invitation(of, role="core"):
    """The id, and the secret of the link."""
    asked = {"name": "Dr One", "role": role, "specialty": "radiology", "site": "St Elsewhere", "email": "one@example.org"}
    made = _ask("POST", f"/api/v1/meetings/{of}/invitations", asked)
    return made["id"], made["link_secret"]


def api_key():
    return _ask("POST", "/api/v1/api-keys", {"name": "to be revoked", "scopes": ["meetings:read"]})["id"]


def moved_and_cancelled():
    """A series with one occurrence that was moved and one that was cancelled."""
    made = meeting()
    path = f"/api/v1/meetings/{made}/occurrences"
    _ask("PUT", f"{path}/2027-01-19T08:30:00", {"start": "2027-01-20T10:00:00"}, {"If-Match": "*"})
    _ask("DELETE", f"{path}/2027-01-26T08:30:00", headers={"If-Match": "*"})
    return made


class Kept:
    """Objects that are only read, made once."""

    def __init__(self):
        self.meeting = moved_and_cancelled()
        self.invitation, self.early_link = invitation(self.meeting)
        # Several, because each may be used 30 times per minute.
        held, lobby = under_way(), under_way(lobby="everyone")
        self.links = [invitation(of)[1] for of in (held, lobby) for _ in range(LINKS)]
        self.ticket, self.admitted_ticket = waiting()[2], admitted()
        self.api_key = api_key()
        self.cancelled = meeting()
        _, self.cancelled_link = invitation(self.cancelled)
        self.revoked_invitation, _ = invitation(self.meeting)
        self.revoked_key = api_key()
        over = [f"meetings/{self.cancelled}", f"invitations/{self.revoked_invitation}", f"api-keys/{self.revoked_key}"]
        for path in over:
            _ask("DELETE", f"/api/v1/{path}", headers={"If-Match": "*"})
