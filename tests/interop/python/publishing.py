"""A tone and a moving picture, published by a participant for as long as a block lasts."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import AsyncIterator

from livekit import rtc

from meeting import PATIENCE_SECONDS, Member
from signals import SAMPLE_RATE, play_pictures, play_tone

# Short, so that a tone starts and stops when the test says so.
AUDIO_QUEUE_MS = 100


@asynccontextmanager
async def tone(
    member: Member, hertz: float, *, red: bool = True, dtx: bool = True
) -> AsyncIterator[tuple[rtc.LocalAudioTrack, rtc.LocalTrackPublication]]:
    source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=AUDIO_QUEUE_MS)
    track = rtc.LocalAudioTrack.create_audio_track("tone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, red=red, dtx=dtx)
    async with _publishing(member, track, options, play_tone(source, hertz)) as publication:
        yield track, publication
    await source.aclose()


@asynccontextmanager
async def pictures(
    member: Member,
    width: int = 320,
    height: int = 240,
    *,
    codec: int = rtc.VideoCodec.VP8,
    simulcast: bool = False,
) -> AsyncIterator[tuple[rtc.LocalVideoTrack, rtc.LocalTrackPublication]]:
    source = rtc.VideoSource(width, height)
    track = rtc.LocalVideoTrack.create_video_track("pictures", source)
    options = rtc.TrackPublishOptions(
        source=rtc.TrackSource.SOURCE_CAMERA, video_codec=codec, simulcast=simulcast
    )
    async with _publishing(member, track, options, play_pictures(source, width, height)) as publication:
        yield track, publication
    await source.aclose()


@asynccontextmanager
async def _publishing(member, track, options, playing) -> AsyncIterator[rtc.LocalTrackPublication]:
    task = asyncio.create_task(playing)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            publication = await member.local.publish_track(track, options)
        yield publication
        # A source that failed would otherwise look like a server that forwards nothing.
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
