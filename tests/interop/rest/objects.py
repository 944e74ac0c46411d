"""Real objects for requests to be about: made through the API itself, with API keys that the environment names."""

import datetime
import itertools
import os
import time

import requests

BASE = os.environ["INTEROP_HTTP"]
# Several, because each may make 1,200 requests per minute; what is tested here is not the limit.
KEYS = os.environ["REST_API_KEYS"].split()
START = "2027-01-05T08:30:00"
WINDOW = {"from": "2027-01-01T00:00:00Z", "to": "2027-06-01T00:00:00Z"}
REQUEST_SECONDS = 10
LINKS = 8
# Nothing listens there, and the server tries once: what is sent becomes a dead letter.
NOWHERE = "http://127.0.0.1:9/"
DEAD_SECONDS = 20

# Made first, for as long as the run lasts.
KEPT_WEBHOOKS = 1

_turns = itertools.cycle(KEYS)
_numbers = itertools.count()
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


def at_the_door():
    """A meeting, an invitation to it, and the ticket of who waits at its door."""
    made = under_way(lobby="everyone")
    invited, link = invitation(made)
    ticket = _ask("POST", "/api/v1/join/invitation", {"link_secret": link})["ticket"]
    return made, invited, ticket


def sent_to_lobby():
    """The link of somebody whom a host has sent to the door, and who has not come to it."""
    made = under_way()
    invited, link = invitation(made)
    _ask("POST", f"/api/v1/meetings/{made}/participants/{invited}/to-lobby", {})
    return link


def admitted():
    """The ticket of somebody who waits no longer: what they listen to ends by itself."""
    made, invited, ticket = at_the_door()
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


# A list has room for 150 cases.
CASES_PER_MEETING = 100
_lists = itertools.count()
_chairs = {}
_listed = None


def chair(of):
    """The header of the meeting's chair, where it has one."""
    return _chairs.get(of)


def _meeting_with_chair():
    made = meeting()
    _, secret = invitation(made, role="chair")
    entered = _ask("POST", "/api/v1/join/invitation", {"link_secret": secret})
    _chairs[made] = f"Bearer {entered['token']}"
    return made


def _put_on(of):
    return of, _ask("POST", f"/api/v1/meetings/{of}/cases", {"reference": "L-1", "notes": "What now?"})["id"]


def case(of=None):
    """A meeting with a chair, and a case of its next occurrence that waits."""
    global _listed
    if of:
        return _put_on(of)
    if next(_lists) % CASES_PER_MEETING == 0:
        _listed = _meeting_with_chair()
    try:
        return _put_on(_listed)
    except RuntimeError:
        # A scenario has cancelled it.
        _listed = _meeting_with_chair()
        return _put_on(_listed)


def waiting():
    """A meeting of its own, with a case that waits."""
    return case(meeting())


def current_of(of):
    """The meeting, and its case that it is about."""
    of, made = case(of)
    _ask("POST", f"/api/v1/meetings/{of}/cases/{made}/start", headers={"If-Match": "*"})
    return of, made


def current(paused=False):
    """A meeting of its own, which is about the case."""
    of, made = current_of(meeting())
    if paused:
        _ask("POST", f"/api/v1/meetings/{of}/cases/{made}/pause", headers={"If-Match": "*"})
    return of, made


def drafted(confirmed=False):
    """A case with an outcome."""
    of, made = case()
    path = f"/api/v1/meetings/{of}/cases/{made}/outcome"
    _ask("PUT", path, {"text": "Surgery"}, {"If-Match": "*"})
    if confirmed:
        _ask("POST", f"{path}/confirm", headers={"If-Match": "*", "Authorization": chair(of)})
    return of, made


def api_key():
    return _ask("POST", "/api/v1/api-keys", {"name": "to be revoked", "scopes": ["meetings:read"]})["id"]


def account():
    """Somebody who can sign in: the id, and what they type."""
    asked = {"login": f"interop-{next(_numbers)}", "name": "Dr Two", "role": "member"}
    made = _ask("POST", "/api/v1/users", asked)
    return made["id"], {"login": asked["login"], "password": made["password"]}


# What a browser says of itself when one of our own pages asks.
OWN_PAGE = {"Consilium-Request": "1", "Sec-Fetch-Site": "same-origin"}


class Visitor:
    """Somebody who is signed in, for as long as their session lasts."""

    def __init__(self):
        _, self.typed = account()
        answer = requests.post(BASE + "/api/v1/session", json=self.typed, headers=OWN_PAGE, timeout=REQUEST_SECONDS)
        answer.raise_for_status()
        self.headers = {"Cookie": answer.headers["Set-Cookie"].split(";")[0], **OWN_PAGE}


class Typist:
    """Names and passwords that are right, each no more often than may be tried."""

    TRIES_MAX = 8

    def __init__(self):
        self._tries = 0

    def types(self):
        if self._tries % self.TRIES_MAX == 0:
            _, self._typed = account()
        self._tries += 1
        return dict(self._typed)


def moved_and_cancelled():
    """A series with one occurrence that was moved and one that was cancelled."""
    made = meeting()
    path = f"/api/v1/meetings/{made}/occurrences"
    _ask("PUT", f"{path}/2027-01-19T08:30:00", {"start": "2027-01-20T10:00:00"}, {"If-Match": "*"})
    _ask("DELETE", f"{path}/2027-01-26T08:30:00", headers={"If-Match": "*"})
    return made


def feed():
    """The id, and the secret in the address."""
    made = _ask("POST", "/api/v1/calendar-feeds", {"email": f"feed{next(_numbers)}@example.org"})
    return made["id"], made["url"].split("/")[-2]


def webhook():
    """It wants nothing that happens here, so that the others' requests cost no deliveries."""
    return _ask("POST", "/api/v1/webhooks", {"url": NOWHERE, "kinds": ["nothing.happened"]})["id"]


def fresh_webhook():
    """One that may be taken away: there is room for only so many."""
    for spare in _ask("GET", "/api/v1/webhooks?limit=200")["items"][KEPT_WEBHOOKS:]:
        _session.delete(
            f"{BASE}/api/v1/webhooks/{spare['id']}",
            headers={"Authorization": authorization(), "If-Match": "*"},
            timeout=REQUEST_SECONDS,
        )
    return webhook()


def _dead(path):
    deadline = time.monotonic() + DEAD_SECONDS
    while not (letters := _ask("GET", f"{path}?state=dead")["items"]):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{path} has no dead letter")
        time.sleep(0.1)
    return letters[0]["id"]


class Kept:
    """Objects that are only read, made once."""

    def __init__(self):
        self.meeting = moved_and_cancelled()
        self.invitation, self.early_link = invitation(self.meeting)
        # Several, because each may be used 30 times per minute.
        held, lobby = under_way(), under_way(lobby="everyone")
        self.links = [invitation(of)[1] for of in (held, lobby) for _ in range(LINKS)]
        self.ticket, self.admitted_ticket = at_the_door()[2], admitted()
        self.api_key = api_key()
        _, self.case = current_of(self.meeting)
        self.done = drafted(confirmed=True)
        self.user, _ = account()
        self.cancelled = meeting()
        _, self.cancelled_link = invitation(self.cancelled)
        self.revoked_invitation, _ = invitation(self.meeting)
        self.revoked_key = api_key()
        self.feed, self.feed_secret = feed()
        self.revoked_feed, _ = feed()
        # Of nothing else, for each of these is a delivery.
        self.webhook = _ask("POST", "/api/v1/webhooks", {"url": NOWHERE, "kinds": ["meeting.cancelled"]})["id"]
        over = [f"meetings/{self.cancelled}", f"invitations/{self.revoked_invitation}", f"api-keys/{self.revoked_key}"]
        over.append(f"calendar-feeds/{self.revoked_feed}")
        for path in over:
            _ask("DELETE", f"/api/v1/{path}", headers={"If-Match": "*"})
        self.delivery = _dead(f"/api/v1/webhooks/{self.webhook}/deliveries")
        self.mail = _dead("/api/v1/mails")
