"""What schemathesis is told about this API: who calls, which objects exist, and which values make sense. Only values that
the schema allows are replaced; what was made wrong on purpose stays wrong. Every answer is counted, for reached.py."""

import atexit
import collections
import json
import os
import random

import schemathesis
from schemathesis.core.parameters import ParameterLocation

import objects

# Share of the cases that get real objects and values. In the others, what schemathesis thought of stays.
SENSIBLE = 0.75
# Few of these: an address may try 60 times per minute without a valid key.
WITHOUT_KEY = 0.01

chance = random.Random(1)
kept = objects.Kept()
typist = objects.Typist()
# Who is signed in, until a request ends that.
visitors = []
answers = collections.Counter()
own_keys = {f"key_{secret.split('_')[1]}" for secret in objects.KEYS}


def _fresh_meeting():
    return {"id": objects.meeting()}


def _fresh_occurrence():
    meeting, original = objects.occurrence()
    return {"id": meeting, "original": original}


def _fresh_invitation():
    return {"id": objects.invitation(kept.meeting)[0]}


def _fresh_key():
    return {"id": objects.api_key()}


def _fresh_user():
    return {"id": objects.account()[0]}


def _held_meeting():
    return {"id": objects.under_way()}


def _member():
    meeting, invitation = objects.member()
    return {"id": meeting, "invitation": invitation}


def _waiting():
    meeting, invitation, _ = objects.at_the_door()
    return {"id": meeting, "invitation": invitation}


def _fresh_feed():
    return {"id": objects.feed()[0]}


def _fresh_webhook():
    return {"id": objects.fresh_webhook()}


def _of(made):
    meeting, case = made
    return {"id": meeting, "case": case}


def _kept_case():
    return {"id": kept.meeting, "case": kept.case}


# What is changed is made for the case alone.
PLACES = {
    "get_meeting_calendar": lambda: {"id": kept.meeting},
    "get_invitation_calendar": lambda: {"id": kept.invitation},
    "get_calendar_feed": lambda: {"id": kept.feed},
    "fetch_calendar_feed": lambda: {"secret": kept.feed_secret},
    "get_webhook": lambda: {"id": kept.webhook},
    "list_deliveries": lambda: {"id": kept.webhook},
    "redeliver": lambda: {"id": kept.webhook, "delivery": kept.delivery},
    "get_mail": lambda: {"id": kept.mail},
    "retry_mail": lambda: {"id": kept.mail},
    "revoke_calendar_feed": _fresh_feed,
    "update_webhook": _fresh_webhook,
    "delete_webhook": _fresh_webhook,
    "renew_webhook_secret": _fresh_webhook,
    "get_meeting": lambda: {"id": kept.meeting},
    "list_occurrences": lambda: {"id": kept.meeting},
    "list_invitations": lambda: {"id": kept.meeting},
    "get_invitation": lambda: {"id": kept.invitation},
    "get_api_key": lambda: {"id": kept.api_key},
    "get_user": lambda: {"id": kept.user},
    "update_meeting": _fresh_meeting,
    "cancel_meeting": _fresh_meeting,
    "create_invitation": _fresh_meeting,
    "move_occurrence": _fresh_occurrence,
    "cancel_occurrence": _fresh_occurrence,
    "update_invitation": _fresh_invitation,
    "revoke_invitation": _fresh_invitation,
    "renew_invitation_link": _fresh_invitation,
    "revoke_api_key": _fresh_key,
    "list_cases": lambda: {"id": kept.meeting},
    "create_case": _fresh_meeting,
    "reorder_cases": _fresh_meeting,
    "next_case": lambda: {"id": objects.waiting()[0]},
    "get_case": _kept_case,
    "update_case": lambda: _of(objects.case()),
    "remove_case": lambda: _of(objects.case()),
    "start_case": lambda: _of(objects.waiting()),
    "pause_case": lambda: _of(objects.current()),
    "resume_case": lambda: _of(objects.current(paused=True)),
    "finish_case": lambda: _of(objects.current()),
    "get_outcome": _kept_case,
    "draft_outcome": lambda: _of(objects.case()),
    "confirm_outcome": lambda: _of(objects.drafted()),
    "amend_outcome": lambda: _of(objects.drafted(confirmed=True)),
    "get_attendance": lambda: {"id": kept.meeting},
    "get_attendance_table": lambda: {"id": kept.meeting},
    "get_quorum": lambda: {"id": kept.meeting},
    "get_report": lambda: {"id": kept.meeting},
    "get_report_table": lambda: {"id": kept.meeting},
    "get_report_page": lambda: {"id": kept.meeting},
    "follow_events": lambda: {"id": kept.meeting},
    "update_user": _fresh_user,
    "reset_password": _fresh_user,
    "sign_out_user": _fresh_user,
    "get_room": lambda: {"id": kept.meeting},
    "list_participants": lambda: {"id": kept.meeting},
    "lock_room": _held_meeting,
    "unlock_room": _held_meeting,
    "end_room": _held_meeting,
    "admit_all": _held_meeting,
    "admit": _waiting,
    "deny": _waiting,
    "send_to_lobby": _member,
    "mute": _member,
    "remove_participant": _member,
    "change_role": _member,
}

# Who is called for by a ticket in the place of a key. What is listened to must end by itself.
TICKETS = {
    "look_at_lobby": lambda: kept.ticket,
    "listen_at_lobby": lambda: kept.admitted_ticket,
    "leave_lobby": lambda: objects.at_the_door()[2],
}

# Asked by somebody who is signed in.
BY_VISITOR = {"sign_out", "sign_out_everywhere", "change_password"}

# What only the chair of the meeting may do.
FOR_THE_CHAIR = {"confirm_outcome", "amend_outcome"}
WITH_OCCURRENCE = {"list_cases", "get_attendance", "get_attendance_table", "get_report", "get_report_table", "get_report_page"}

# What can be changed no more, for a share of the same cases.
OVER_SHARE = 0.2
OVER = {
    "update_meeting": {"id": kept.cancelled},
    "cancel_meeting": {"id": kept.cancelled},
    "create_invitation": {"id": kept.cancelled},
    "move_occurrence": {"id": kept.cancelled, "original": objects.START},
    "cancel_occurrence": {"id": kept.cancelled, "original": objects.START},
    "update_invitation": {"id": kept.revoked_invitation},
    "revoke_invitation": {"id": kept.revoked_invitation},
    "renew_invitation_link": {"id": kept.revoked_invitation},
    "revoke_api_key": {"id": kept.revoked_key},
    "lock_room": {"id": kept.cancelled},
    "end_room": {"id": kept.cancelled},
    "admit_all": {"id": kept.cancelled},
    "deny": {"id": kept.meeting, "invitation": kept.invitation},
    "admit": {"id": kept.meeting, "invitation": kept.invitation},
    "revoke_calendar_feed": {"id": kept.revoked_feed},
    "create_case": {"id": kept.cancelled},
    "update_case": _of(kept.done),
    "remove_case": _of(kept.done),
    "start_case": _of(kept.done),
    "draft_outcome": _of(kept.done),
    "confirm_outcome": _of(kept.done),
}

# What no schema says: fields of bodies, by name.
VALUES = {
    "title": ["Lung MDT", "Réunion", "多学科会诊"],
    "name": ["Dr Siân Ó Briain", "王医生", "x"],
    "start": ["2027-03-02T08:30:00", "2027-03-28T01:30:00", "2028-02-29T23:59:00"],
    "time_zone": ["Europe/London", "Asia/Kathmandu", "Pacific/Chatham", "UTC"],
    "recurrence": [None, "FREQ=WEEKLY;COUNT=3", "FREQ=MONTHLY;COUNT=2", "FREQ=DAILY;UNTIL=20280401T000000Z"],
    "required_specialties": [[], ["radiology", "oncology"]],
    "specialty": [None, "radiology"],
    "site": [None, "St Elsewhere"],
    "email": [None, "one@example.org"],
    "expires_at": [None, "2099-01-01T00:00:00Z"],
    "link_expires_at": ["2027-01-01T00:00:00Z"],
    "room": ["first-meeting", "Ärzte.2"],
    "link_secret": [*kept.links, kept.early_link, kept.cancelled_link],
    "message": ["Your case is at ten.", "Ein Moment noch"],
    "url": [objects.NOWHERE, "https://hooks.example.org/a?b=c"],
    "kinds": [["nothing.happened"], ["nothing.*"]],
    "reference": ["L-1", "2026/0042"],
    "notes": [None, "What now?\nAnd then?"],
    "occurrence": [None, objects.START],
    "cases": [[]],
    "after": [None],
    "text": ["Surgery"],
    "reason": ["The report came late."],
}


def _is_sound(case, location):
    """Whether this part of the request fits the schema, as far as schemathesis means it to."""
    component = case.meta.components.get(location)
    return component is None or component.mode.is_positive


def _is_about(case, location):
    """Whether the case tries one exact value of this part."""
    return getattr(case.meta.phase.data, "parameter_location", None) == location


def _visit(case):
    if not visitors:
        visitors.append(objects.Visitor())
    case.headers.pop("Authorization", None)
    case.headers.update(visitors[0].headers)


def _type(case, operation):
    """What must be right for a request to succeed, and what no two requests may share."""
    if operation == "sign_in":
        case.body = typist.types()
    if operation == "change_password":
        case.body = {"current_password": visitors[0].typed["password"], "new_password": "three blue horses"}
    if operation == "return_to_lobby":
        case.body = {"link_secret": objects.sent_to_lobby()}
    if operation == "create_user" and "login" in case.body:
        case.body = {**case.body, "login": f"made-{chance.getrandbits(64):x}"}


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = case.operation.definition.raw["operationId"]
    phase = case.meta.phase.name.value
    lacks_header = _is_about(case, ParameterLocation.HEADER)
    if lacks_header or chance.random() >= WITHOUT_KEY:
        ticket = TICKETS.get(operation)
        case.headers["Authorization"] = f"Bearer {ticket()}" if ticket else objects.authorization()
    if operation == "sign_in" and not lacks_header:
        case.headers.update(objects.OWN_PAGE)
    if operation in BY_VISITOR:
        _visit(case)
    # Elsewhere its own links lead from object to object.
    is_placed = phase == "coverage" or (phase != "stateful" and chance.random() < SENSIBLE)
    if operation in PLACES and (lacks_header or (is_placed and _is_sound(case, ParameterLocation.PATH))):
        is_over = operation in OVER and chance.random() < OVER_SHARE
        case.path_parameters = dict(OVER[operation]) if is_over else PLACES[operation]()
    if operation == "revoke_api_key" and case.path_parameters.get("id") in own_keys:
        case.path_parameters = _fresh_key()
    chair = objects.chair(case.path_parameters.get("id")) if operation in FOR_THE_CHAIR else None
    if chair:
        case.headers["Authorization"] = chair
    if operation == "follow_events" and case.query.get("follow") in (None, True, "true"):
        # It would never end.
        case.query = {**case.query, "follow": "false"}
    if operation in WITH_OCCURRENCE and _is_sound(case, ParameterLocation.QUERY) and chance.random() < SENSIBLE:
        case.query = {"occurrence": objects.START} if chance.random() < 0.5 else {}
    if "If-Match" in case.headers and not lacks_header and _is_sound(case, ParameterLocation.HEADER):
        case.headers["If-Match"] = chance.choice(["*", "*", '"v1"', case.headers["If-Match"]])
    if operation == "list_occurrences" and _is_sound(case, ParameterLocation.QUERY) and chance.random() < SENSIBLE:
        case.query = {**case.query, **objects.WINDOW}
    # A cursor that leads on is never guessed.
    if "cursor" in case.query and _is_sound(case, ParameterLocation.QUERY) and chance.random() < SENSIBLE:
        case.query = {name: value for name, value in case.query.items() if name != "cursor"}
    if isinstance(case.body, dict) and _is_sound(case, ParameterLocation.BODY) and chance.random() < SENSIBLE:
        sensible = {name: chance.choice(VALUES[name]) for name in case.body if name in VALUES}
        if phase == "stateful" and "occurrence" in sensible:
            # Its meetings are at times of its own.
            sensible["occurrence"] = None
        case.body = {**case.body, **sensible}
        _type(case, operation)


@schemathesis.hook
def after_call(context, case, response):
    if case.operation.definition.raw["operationId"] in BY_VISITOR and response.status_code < 300:
        visitors.clear()
    # Methods that are tried and not described belong to no operation.
    if response.request.method == case.operation.method.upper():
        answers[case.operation.definition.raw["operationId"], response.status_code] += 1


@atexit.register
def _write():
    counts = collections.defaultdict(dict)
    for (operation, status), count in answers.items():
        counts[operation][status] = count
    with open(os.environ["REST_ANSWERS"], "w", encoding="utf-8") as file:
        json.dump(counts, file)
