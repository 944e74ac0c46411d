"""An independent parser reads the calendars and expands them; the clocks are asked of Python's own time zones."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events
import requests
from conftest import Api

# A series over two changes of the clocks in each zone; in Chatham they change by an hour at an odd time, in Lord Howe by
# half of one, in Casablanca without a rule, in Kathmandu never.
ZONES = [
    "Europe/London",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "UTC",
]


def by_their_own_zones(text: str) -> icalendar.Calendar:
    """Parsed with the names of zones made unknown, so that only what our VTIMEZONE says can be used."""
    renamed = re.sub(r"TZID([:=])([A-Za-z/_]+)", r"TZID\1Unknown/\2", text.replace("\r\n ", ""))
    return icalendar.Calendar.from_ical(renamed)


def starts(calendar: icalendar.Calendar, first: datetime, last: datetime) -> list[datetime]:
    events = recurring_ical_events.of(calendar).between(first, last)
    return sorted(event["DTSTART"].dt.astimezone(ZoneInfo("UTC")) for event in events)


@pytest.mark.parametrize("zone", ZONES)
def test_half_past_eight_stays_half_past_eight_when_the_clocks_change(api: Api, zone: str) -> None:
    meeting = api.meeting(start="2027-01-05T08:30:00", time_zone=zone, recurrence="FREQ=WEEKLY;BYDAY=TU")
    calendar = by_their_own_zones(api.calendar(meeting))
    first = datetime(2027, 1, 1, tzinfo=ZoneInfo("UTC"))
    found = starts(calendar, first, first + timedelta(days=3 * 366))
    local = datetime(2027, 1, 5, 8, 30)
    expected = [
        (local + timedelta(weeks=week)).replace(tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC")) for week in range(150)
    ]
    assert found[:150] == expected


@pytest.mark.parametrize("start", ["2027-03-27T22:30:00", "2027-03-28T03:00:00", "2027-10-30T23:30:00"])
def test_a_meeting_across_a_change_of_the_clocks_is_as_long_as_any_other(api: Api, start: str) -> None:
    meeting = api.meeting(start=start, duration_minutes=180)
    event = by_their_own_zones(api.calendar(meeting)).events[0]
    assert event["DURATION"].dt == timedelta(hours=3)
    wanted = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo("Europe/London"))
    assert event["DTSTART"].dt.astimezone(ZoneInfo("UTC")) == wanted.astimezone(ZoneInfo("UTC"))


def test_single_occurrences_are_moved_or_taken_out(api: Api) -> None:
    meeting = api.meeting(start="2027-03-16T08:30:00", recurrence="FREQ=WEEKLY;BYDAY=TU;COUNT=5")
    occurrences = f"meetings/{meeting['id']}/occurrences"
    api.ask("DELETE", f"{occurrences}/2027-03-23T08:30:00")
    api.ask("PUT", f"{occurrences}/2027-03-30T08:30:00", {"start": "2027-03-31T10:00:00", "duration_minutes": 30})
    text = api.calendar(meeting)
    calendar = by_their_own_zones(text)
    first = datetime(2027, 3, 1, tzinfo=ZoneInfo("UTC"))
    found = starts(calendar, first, first + timedelta(days=60))
    assert [time.strftime("%m-%d %H:%M") for time in found] == ["03-16 08:30", "03-31 09:00", "04-06 07:30", "04-13 07:30"]
    # The server's own list says the same.
    window = {"from": "2027-03-01T00:00:00Z", "to": "2027-05-01T00:00:00Z"}
    listed = api.session.get(f"{api.base}/api/v1/{occurrences}", params=window, timeout=10).json()["items"]
    own = sorted(one["starts_at"] for one in listed if not one["is_cancelled"])
    assert own == [time.strftime("%Y-%m-%dT%H:%M:%SZ") for time in found]


def test_an_update_and_a_cancellation_are_of_the_same_event(api: Api) -> None:
    title = "Brust-MDT; \"Ärzte\", 多学科会诊\\ 👩‍⚕️ and a line that is so long that it has to be folded more than once"
    meeting = api.meeting(start="2027-01-05T08:30:00", title=title)
    api.invite(meeting, "one@example.org", name='Dr "One": a; b, c')
    texts = [api.calendar(meeting)]
    api.ask("PATCH", f"meetings/{meeting['id']}", {"start": "2027-01-05T09:30:00"})
    texts.append(api.calendar(meeting))
    api.ask("DELETE", f"meetings/{meeting['id']}")
    texts.append(api.calendar(meeting))
    calendars = [icalendar.Calendar.from_ical(text) for text in texts]
    events = [calendar.events[0] for calendar in calendars]
    assert [str(calendar["METHOD"]) for calendar in calendars] == ["REQUEST", "REQUEST", "CANCEL"]
    assert [event["SEQUENCE"] for event in events] == [0, 1, 2]
    assert len({str(event["UID"]) for event in events}) == 1
    assert [str(event["STATUS"]) for event in events] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]
    assert all(str(event["SUMMARY"]) == title for event in events)
    attendee = events[0]["ATTENDEE"]
    assert (str(attendee), attendee.params["ROLE"]) == ("mailto:one@example.org", "REQ-PARTICIPANT")
    assert attendee.params["CN"] == "Dr 'One': a; b, c"
    conference = events[0]["CONFERENCE"]
    assert str(conference).endswith(f"/m/{meeting['id']}") and conference.params["VALUE"] == "URI"
    assert conference.params["FEATURE"] == ["AUDIO", "VIDEO"]
    assert "CONFERENCE" not in events[2]
    for text in texts:
        # RFC 5545 section 3.1.
        assert text.endswith("\r\n") and all(len(line.encode()) <= 75 for line in text.split("\r\n"))
        assert icalendar.Calendar.from_ical(text).errors == []


def test_a_calendar_of_ones_own_holds_the_links_that_let_its_owner_in(api: Api) -> None:
    address = "feed@example.org"
    links = set()
    for zone in ("Europe/London", "America/New_York"):
        meeting = api.meeting(start="2027-01-05T08:30:00", time_zone=zone, lobby="nobody")
        links.add(f"/m/{meeting['id']}#{api.invite(meeting, address)['link_secret']}")
    url = api.ask("POST", "calendar-feeds", {"email": address}).json()["url"]
    # As a calendar program fetches it: without a key. Nothing listens at the public name here.
    answer = requests.get(url.replace("https://meet.example.org", api.base), timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (200, "text/calendar")
    calendar = icalendar.Calendar.from_ical(answer.content)
    found = {str(event["CONFERENCE"]) for event in calendar.events}
    assert {link[link.index("/m/") :] for link in found} == links
    for link in found:
        entered = requests.post(
            f"{api.base}/api/v1/join/invitation", json={"link_secret": link.split("#")[1]}, timeout=10
        )
        assert entered.status_code in (200, 409), entered.text
