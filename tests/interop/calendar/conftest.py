"""The server under test and its REST API, and a mail server of other make that keeps what it takes."""

from __future__ import annotations

import email
import email.policy
import os
import threading
import time
from email.message import EmailMessage
from typing import Any, Callable, Iterator

import pytest
import requests
from aiosmtpd.controller import Controller

# Longer than the server waits before it tries a mail server again that was not there at first.
MAIL_SECONDS = 30


class Api:
    """The REST API, with a key that may write."""

    def __init__(self) -> None:
        self.base = os.environ["INTEROP_HTTP"]
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {os.environ['INTEROP_API_KEY']}"

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"If-Match": "*"} if method in ("PATCH", "PUT", "DELETE") else {}
        answer = self.session.request(method, f"{self.base}/api/v1/{path}", json=body, headers=headers, timeout=10)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def meeting(self, **fields: Any) -> dict[str, Any]:
        wanted = {"title": "Lung MDT", "time_zone": "Europe/London", "duration_minutes": 60, **fields}
        return self.ask("POST", "meetings", wanted).json()

    def invite(self, meeting: dict[str, Any], address: str, name: str = "Dr Siân Ó Briain") -> dict[str, Any]:
        body = {"name": name, "role": "core", "email": address}
        return self.ask("POST", f"meetings/{meeting['id']}/invitations", body).json()

    def calendar(self, meeting: dict[str, Any]) -> str:
        return self.ask("GET", f"meetings/{meeting['id']}/calendar.ics").content.decode()


class Mailbox:
    """Takes every mail, after as many refusals as were asked for."""

    def __init__(self) -> None:
        self.refusals = 0
        self._mails: list[tuple[str, EmailMessage]] = []
        self._changed = threading.Condition()

    # The name is aiosmtpd's.
    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        with self._changed:
            if self.refusals > 0:
                self.refusals -= 1
                return "451 Requested action aborted: error in processing"
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            self._mails.append((envelope.rcpt_tos[0], message))
            self._changed.notify_all()
        return "250 OK"

    def wait(self, address: str, found: Callable[[list[EmailMessage]], bool]) -> list[EmailMessage]:
        """The mails to one address, once they are what is waited for."""
        deadline = time.monotonic() + MAIL_SECONDS
        with self._changed:
            while not found(mails := [mail for to, mail in self._mails if to == address]):
                left = deadline - time.monotonic()
                assert left > 0, f"{len(mails)} mails came: {[mail['Subject'] for mail in mails]}"
                self._changed.wait(left)
            return mails


@pytest.fixture(scope="session")
def api() -> Api:
    return Api()


@pytest.fixture(scope="session")
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=int(os.environ["INTEROP_MAIL_PORT"]))
    controller.start()
    yield mailbox
    controller.stop()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    left_out = any(reporter.stats.get(outcome) for outcome in ("skipped", "xfailed", "xpassed"))
    if exitstatus == pytest.ExitCode.OK and left_out:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
