"""Our own page in Chromium, driven by a Node process that speaks JSON lines."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, AsyncIterator

SCRIPT = Path(__file__).resolve().parent.parent / "browser.mjs"
START_SECONDS = 60.0


class Page:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, **request: Any) -> Any:
        """One request, one answer; an error in the page is raised here."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(START_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the browser ended with {await self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise AssertionError(f"the page: {answer['error']}")
        return answer["value"]


@asynccontextmanager
async def page(url: str) -> AsyncIterator[Page]:
    process = await asyncio.create_subprocess_exec(
        os.environ.get("NODE", "node"), str(SCRIPT), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    opened = Page(process)
    try:
        await opened.ask(do="open", url=url)
        yield opened
    finally:
        assert process.stdin is not None
        # The end of its input is the script's order to close the browser and leave.
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), START_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
