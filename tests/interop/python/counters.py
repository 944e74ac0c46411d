"""What a track's own connection counts."""

from __future__ import annotations

import asyncio
from typing import Any, Callable

from livekit import rtc

from meeting import PATIENCE_SECONDS

ASK_EVERY_SECONDS = 0.2


async def counters(track: rtc.Track, kind: str, fits: Callable[[Any], bool]) -> Any:
    """The entry of this kind ("inbound_rtp", "outbound_rtp"), once there is one that fits."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            for report in await track.get_stats():
                if report.HasField(kind) and fits(getattr(report, kind)):
                    return getattr(report, kind)
            await asyncio.sleep(ASK_EVERY_SECONDS)
