"""A WebSocket that is cut: the SDK comes back as the same participant, and no message is lost or doubled."""

from __future__ import annotations

import asyncio
import dataclasses
from urllib.parse import urlsplit

import pytest
from livekit import rtc

from meeting import Meeting, until_active

CUT_SECONDS = 3.0
MESSAGES = 20


class Proxy:
    """Carries a WebSocket, until it is cut: then every connection ends, and new ones wait.

    Refused ones would not do: this SDK joins anew, as another participant, after its first attempt to resume has failed.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = asyncio.Event()
        self._open.set()

    async def __aenter__(self) -> "Proxy":
        self._listener = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut(True)
        self._listener.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    def cut(self, cut: bool) -> None:
        if not cut:
            self._open.set()
            return
        self._open.clear()
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        both = {writer, there_writer}
        self._writers |= both
        await asyncio.wait(
            [asyncio.create_task(_pour(reader, there_writer)), asyncio.create_task(_pour(there_reader, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for end in both:
            end.transport.abort()
        self._writers -= both


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while block := await reader.read(65_536):
            writer.write(block)
            await writer.drain()
    except OSError:
        return


@pytest.mark.parametrize("single", [True, False], ids=["one-connection", "two-connections"])
async def test_a_cut_websocket_costs_neither_the_participant_nor_a_message(meeting: Meeting, single: bool) -> None:
    options = rtc.RoomOptions(single_peer_connection=single)
    port = urlsplit(meeting.server.http_url).port
    async with Proxy(port) as proxy:
        by_proxy = Meeting(dataclasses.replace(meeting.server, http_url=proxy.url), meeting.name)
        ada = await by_proxy.join("ada", options=options)
        ben = await meeting.join("ben", options=options)
        await asyncio.gather(ada.waits_for(ben), until_active(ben, "ada"))
        sid = ada.local.sid

        async def speak(member) -> None:
            for number in range(MESSAGES):
                await member.local.publish_data(number.to_bytes(4), topic="during")
                await asyncio.sleep(CUT_SECONDS / MESSAGES)

        proxy.cut(True)
        speaking = asyncio.gather(speak(ada), speak(ben))
        await asyncio.sleep(CUT_SECONDS)
        proxy.cut(False)
        await ada.sees("reconnected")
        await speaking
        # What comes after the last message of the cut comes after all of them.
        for sender, receiver in ((ada, ben), (ben, ada)):
            await sender.local.publish_data(b"last", topic="during")
            await receiver.sees("data_received", lambda packet: packet.data == b"last")
            got = [packet.data for (packet,) in receiver.seen("data_received")]
            assert got == [number.to_bytes(4) for number in range(MESSAGES)] + [b"last"]
        assert ada.local.sid == sid
        assert not ben.seen("participant_disconnected")
        assert not ben.seen("reconnecting")
        await by_proxy.close()
