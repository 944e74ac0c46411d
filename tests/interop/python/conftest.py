"""The server under test, a room of its own for each test, and the rule that nothing is skipped."""

from __future__ import annotations

from typing import AsyncIterator

import pytest
import pytest_asyncio

from meeting import Meeting, Server, new_room_name


@pytest.fixture(scope="session")
def server() -> Server:
    return Server.from_environment()


@pytest_asyncio.fixture
async def meeting(server: Server, request: pytest.FixtureRequest) -> AsyncIterator[Meeting]:
    topic = request.node.name.removeprefix("test_").split("[")[0].replace("_", "-")
    meeting = Meeting(server, new_room_name(topic[:40]))
    yield meeting
    await meeting.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _left_out(terminalreporter):
        terminalreporter.write_line("Tests were left out; this counts as a failure.")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.OK and _left_out(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _left_out(reporter: pytest.TerminalReporter) -> bool:
    return any(reporter.stats.get(outcome) for outcome in ("skipped", "xfailed", "xpassed"))
