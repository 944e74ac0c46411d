"""Our page in a real browser, and the SDK: each receives what the other sends."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

import pytest
from livekit import rtc

from browser import page
from meeting import Meeting, Server
from publishing import pictures, tone
from signals import Seen, hear, is_sound, watch

AUDIO, VIDEO = rtc.TrackKind.KIND_AUDIO, rtc.TrackKind.KIND_VIDEO


def address(server: Server, room: str, single: bool) -> str:
    query = urlencode({"autojoin": 1, "name": "Browser", "video": "low", "spc": int(single)})
    return f"{server.http_url}/m/{room}?{query}#{server.token(room, 'browser', 'Browser')}"


def changing(seen: list[Seen]) -> bool:
    """Ten pictures of the camera's shape, of which five differ clearly from the one before."""
    wide = [picture for picture in seen if 0 < picture.width <= 320 and picture.width * 9 == picture.height * 16]
    changes = sum(
        1
        for before, after in zip(wide, wide[1:])
        if before.luma.shape == after.luma.shape and (before.luma.astype(int) - after.luma).__abs__().max() > 30
    )
    return len(wide) >= 10 and changes >= 5


@pytest.mark.parametrize("single", [True, False], ids=["one-connection", "two-connections"])
async def test_the_sdk_and_a_browser_hear_and_see_each_other(meeting: Meeting, server: Server, single: bool) -> None:
    ada = await meeting.join("ada", name="Ada in Python")
    async with tone(ada, 440), page(address(server, meeting.name, single)) as browser:
        async with pictures(ada, 320, 240) as (_, publication):
            audio, _ = await ada.receives_track("browser", AUDIO)
            video, _ = await ada.receives_track("browser", VIDEO)
            assert ada.room.remote_participants["browser"].name == "Browser"
            await asyncio.gather(hear(audio, is_sound), watch(video, changing))
            await browser.ask(do="receives", frames=10, energy=0.01, width=320, height=240)
            assert await browser.ask(do="shows", text="Ada in Python")
            await ada.local.unpublish_track(publication.sid)
        # What comes after a track that ended must not be taken for it.
        async with pictures(ada, 400, 300):
            await browser.ask(do="receives", frames=20, energy=0.01, width=400, height=300)
        assert await browser.ask(do="errors") == []
