"""Everybody hears everybody, whoever comes and goes, and the server's own watch over silent paths agrees."""

from __future__ import annotations

import asyncio
import random
import urllib.request

import numpy as np
from livekit import rtc

from meeting import PATIENCE_SECONDS, Meeting, Member, Server

PEOPLE, REJOINS = 12, 20
# Away from one another's harmonics, in the middle of a voice.
TONES = [400 + 130 * number for number in range(PEOPLE)]
# All in one process: long frames, and each listens to one at a time, since the SDK hands every event to every stream.
RATE, FRAME_MS, LOOK_MS = 16_000, 100, 250
LOUDNESS = 8_000
OPEN_ANEW_SECONDS = 4.0


class Person:
    """A participant with a tone of its own."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.identity = f"person-{number}"
        self.member = Member()
        self.tracks: dict[str, rtc.Track] = {}
        self._source = rtc.AudioSource(RATE, 1, queue_size_ms=5 * FRAME_MS)
        self._playing: asyncio.Task[None] | None = None
        self.member.room.on("track_subscribed", self._take)

    def _take(self, track: rtc.Track, _: object, other: rtc.RemoteParticipant) -> None:
        self.tracks[other.identity] = track

    async def join(self, meeting: Meeting) -> None:
        token = meeting.server.token(meeting.name, self.identity)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.member.room.connect(meeting.server.websocket_url, token, rtc.RoomOptions())
            self._playing = asyncio.create_task(self._play())
            track = rtc.LocalAudioTrack.create_audio_track("tone", self._source)
            options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
            await self.member.local.publish_track(track, options)

    async def leave(self) -> None:
        await self.member.room.disconnect()
        if self._playing is not None:
            self._playing.cancel()
            await asyncio.gather(self._playing, return_exceptions=True)
        await self._source.aclose()

    async def _play(self) -> None:
        # Whole periods fit into a second, so that the same second goes on for ever.
        second = LOUDNESS * np.sin(2 * np.pi * TONES[self.number] * np.arange(RATE) / RATE)
        frames = [part.astype(np.int16).tobytes() for part in np.split(second, 1_000 // FRAME_MS)]
        while True:
            for frame in frames:
                await self._source.capture_frame(rtc.AudioFrame(frame, RATE, 1, RATE * FRAME_MS // 1_000))

    async def hears(self, number: int) -> None:
        """Until the tone of that person is heard on the present track of theirs."""
        identity = f"person-{number}"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while identity not in self.tracks:
                await asyncio.sleep(0.05)
            # Now and then a stream of the SDK (1.2.1) yields nothing while its track counts packets and their energy.
            while not await self._listen(identity, TONES[number]):
                pass

    async def _listen(self, identity: str, hertz: float) -> bool:
        stream = rtc.AudioStream(self.tracks[identity], sample_rate=RATE, num_channels=1, frame_size_ms=LOOK_MS)
        try:
            async with asyncio.timeout(OPEN_ANEW_SECONDS):
                async for event in stream:
                    if is_tone(np.frombuffer(event.frame.data, np.int16).astype(np.float64), hertz):
                        return True
        except TimeoutError:
            pass
        finally:
            await stream.aclose()
        return False


    async def knows_of(self, other: Person) -> str:
        """For a failure's message: where the path is interrupted."""
        there = self.member.room.remote_participants.get(other.identity)
        if there is None or there.sid != other.member.local.sid:
            return "it does not know of the present one"
        published = [publication.sid for publication in there.track_publications.values()]
        track = self.tracks.get(other.identity)
        if track is None or track.sid not in published:
            return f"it has {track and track.sid} of {published}"
        reports = [report.inbound_rtp for report in await track.get_stats() if report.HasField("inbound_rtp")]
        counted = [(entry.received.packets_received, entry.inbound.total_audio_energy) for entry in reports]
        return f"{len(published)} published, packets and energy received: {counted}"


def is_tone(wave: np.ndarray, hertz: float) -> bool:
    """Loud, and most of it at this frequency."""
    power = np.abs(np.fft.rfft(wave * np.hanning(wave.size))) ** 2
    near = np.abs(np.fft.rfftfreq(wave.size, 1 / RATE) - hertz) <= 30
    return bool(np.sqrt(np.mean(wave**2)) > LOUDNESS / 16 and power[near].sum() > 0.6 * power.sum())


async def all_hear_all(people: list[Person]) -> None:
    silent: list[str] = []

    async def listen(person: Person) -> None:
        for other in people:
            if other is person:
                continue
            try:
                await person.hears(other.number)
            except TimeoutError:
                silent.append(f"{person.identity} does not hear {other.identity}: {await person.knows_of(other)}")

    await asyncio.gather(*(listen(person) for person in people))
    assert not silent, "; ".join(silent)


async def silent_paths(server: Server) -> dict[str, float]:
    def read() -> str:
        with urllib.request.urlopen(f"{server.ops_url}/metrics", timeout=5) as answer:
            return answer.read().decode()

    lines = (await asyncio.to_thread(read)).splitlines()
    wanted = (line for line in lines if line.startswith("consilium_audio_paths_silent"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in wanted)}


async def test_twelve_people_hear_one_another_through_twenty_rejoins(meeting: Meeting, server: Server) -> None:
    before = await silent_paths(server)
    assert len(before) == 4, before
    dice = random.Random(4)
    people = [Person(number) for number in range(PEOPLE)]
    try:
        await asyncio.gather(*(person.join(meeting) for person in people))
        await all_hear_all(people)
        # Two at a time, so that comings and goings overlap.
        for _ in range(REJOINS // 2):
            movers = dice.sample(range(PEOPLE), 2)
            await asyncio.gather(*(people[number].leave() for number in movers))
            for number in movers:
                people[number] = Person(number)
                for person in people:
                    person.tracks.pop(f"person-{number}", None)
            await asyncio.gather(*(people[number].join(meeting) for number in movers))
        await all_hear_all(people)
        assert await silent_paths(server) == {**before, "consilium_audio_paths_silent": 0}
    finally:
        await asyncio.gather(*(person.leave() for person in people), return_exceptions=True)


async def test_a_microphone_that_stops_without_being_muted_is_a_silent_path(meeting: Meeting, server: Server) -> None:
    """Proves that the watch can see: the case above would pass with one that is blind."""
    ada, ben = await meeting.pair()
    # Without a queue of its own, the SDK makes up no silence when nothing is captured.
    source = rtc.AudioSource(RATE, 1, queue_size_ms=0)
    track = rtc.LocalAudioTrack.create_audio_track("tone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    publication = await ada.local.publish_track(track, options)
    await ben.receives_track("ada", rtc.TrackKind.KIND_AUDIO)
    before = await silent_paths(server)
    frame = (LOUDNESS * np.sin(2 * np.pi * 400 * np.arange(RATE // 100) / RATE)).astype(np.int16).tobytes()
    for _ in range(200):
        await source.capture_frame(rtc.AudioFrame(frame, RATE, 1, RATE // 100))
        await asyncio.sleep(0.01)
    uplink = 'consilium_audio_paths_silent_total{cause="uplink"}'
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (now := await silent_paths(server))[uplink] == before[uplink]:
            await asyncio.sleep(0.5)
    assert now["consilium_audio_paths_silent"] >= 1
    await ada.local.unpublish_track(publication.sid)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await silent_paths(server))["consilium_audio_paths_silent"]:
            await asyncio.sleep(0.5)
