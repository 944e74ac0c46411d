"""A mail server of other make takes the mails, and an independent parser reads what calendars get."""

from __future__ import annotations

from email.message import EmailMessage

import icalendar
from conftest import Api, Mailbox


def calendar_of(mail: EmailMessage) -> icalendar.Calendar:
    assert mail.get_content_type() == "multipart/alternative"
    text, calendar = mail.iter_parts()
    assert (text.get_content_type(), calendar.get_content_type()) == ("text/plain", "text/calendar")
    parsed = icalendar.Calendar.from_ical(calendar.get_content())
    # RFC 6047 section 2.4: the parameter says what the content says.
    assert calendar["Content-Type"].params["method"] == str(parsed["METHOD"])
    return parsed


def test_invitation_update_and_cancellation_reach_the_mailbox(api: Api, mailbox: Mailbox) -> None:
    address = "mailed@example.org"
    # The first attempts are refused for now, as greylisting does.
    mailbox.refusals = 2
    meeting = api.meeting(start="2027-01-05T08:30:00", title="Lungen-MDT Ärzte", recurrence="FREQ=WEEKLY;BYDAY=TU")
    invitation = api.invite(meeting, address)
    first = mailbox.wait(address, lambda mails: len(mails) == 1)[0]
    assert mailbox.refusals == 0
    assert first["Subject"] == "Invitation: Lungen-MDT Ärzte"
    assert first["To"].addresses[0].display_name == "Dr Siân Ó Briain"
    assert first["From"].addresses[0].addr_spec == "mdt@hospital.example"
    event = calendar_of(first).events[0]
    link = f"/m/{meeting['id']}#{invitation['link_secret']}"
    assert str(event["CONFERENCE"]).endswith(link)
    assert (str(event["ORGANIZER"]), str(event["ATTENDEE"])) == ("mailto:mdt@hospital.example", f"mailto:{address}")
    assert next(first.iter_parts()).get_content().count(link) == 1

    api.ask("PATCH", f"meetings/{meeting['id']}", {"start": "2027-01-05T09:30:00"})
    second = mailbox.wait(address, lambda mails: len(mails) == 2)[1]
    assert str(calendar_of(second).events[0]["CONFERENCE"]).endswith(link), "the link outlives the change"
    api.ask("DELETE", f"meetings/{meeting['id']}")
    third = mailbox.wait(address, lambda mails: len(mails) == 3)[2]
    events = [calendar_of(mail).events[0] for mail in (first, second, third)]
    assert [event["SEQUENCE"] for event in events] == [0, 1, 2]
    assert len({str(event["UID"]) for event in events}) == 1
    assert len({mail["Message-ID"] for mail in (first, second, third)}) == 3
    assert [str(calendar_of(mail)["METHOD"]) for mail in (first, second, third)] == ["REQUEST", "REQUEST", "CANCEL"]


def test_whoever_is_not_invited_any_more_is_told(api: Api, mailbox: Mailbox) -> None:
    address = "removed@example.org"
    meeting = api.meeting(start="2027-01-05T08:30:00")
    invitation = api.invite(meeting, address)
    mailbox.wait(address, lambda mails: len(mails) == 1)
    api.ask("DELETE", f"invitations/{invitation['id']}")
    last = mailbox.wait(address, lambda mails: len(mails) == 2)[1]
    assert str(calendar_of(last)["METHOD"]) == "CANCEL"
    assert "#" not in last.as_string().split("BEGIN:VCALENDAR")[-1]
