"""A participant of the Python SDK whose events can be waited for.

Knows the SDK and how tokens are made. Refuses to know what a test is about.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from dataclasses import dataclass
from typing import Any, Callable

from livekit import api, rtc

# What a person would call "it does not work". Everything here takes well under a second on an idle machine; the
# browser tests beside this suite measure the limits of the product.
PATIENCE_SECONDS = 20.0

_EVENTS = (
    "participant_connected",
    "participant_disconnected",
    "participant_active",
    "local_track_subscribed",
    "track_published",
    "track_unpublished",
    "track_subscribed",
    "track_unsubscribed",
    "track_muted",
    "track_unmuted",
    "active_speakers_changed",
    "room_metadata_changed",
    "participant_metadata_changed",
    "participant_name_changed",
    "participant_attributes_changed",
    "participant_permissions_changed",
    "data_received",
    "reconnecting",
    "reconnected",
    "disconnected",
)


@dataclass(frozen=True)
class Server:
    """Where the server under test is, and the credentials it was started with."""

    http_url: str
    ops_url: str
    api_key: str
    api_secret: str

    @classmethod
    def from_environment(cls) -> "Server":
        return cls(
            http_url=os.environ["INTEROP_HTTP"],
            ops_url=os.environ["INTEROP_OPS"],
            api_key=os.environ["CONSILIUM_API_KEY"],
            api_secret=os.environ["CONSILIUM_API_SECRET"],
        )

    @property
    def websocket_url(self) -> str:
        return "ws" + self.http_url.removeprefix("http")

    def token(self, room: str, identity: str, name: str = "", **grants: Any) -> str:
        access = (
            api.AccessToken(self.api_key, self.api_secret)
            .with_identity(identity)
            .with_name(name or identity)
            .with_grants(api.VideoGrants(room_join=True, room=room, **grants))
        )
        return access.to_jwt()

    def administrator(self) -> api.LiveKitAPI:
        return api.LiveKitAPI(self.http_url, self.api_key, self.api_secret)


def new_room_name(topic: str) -> str:
    """Every test has its own room, so no test sees what another left behind."""
    return f"{topic}-{uuid.uuid4().hex[:8]}"


class Member:
    """One participant: the SDK's room, and a record of everything the SDK said about it."""

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.record: list[tuple[str, tuple[Any, ...]]] = []
        self._news = asyncio.Event()
        for event in _EVENTS:
            self.room.on(event, self._recorder(event))

    def _recorder(self, event: str) -> Callable[..., None]:
        def note(*arguments: Any) -> None:
            self.record.append((event, arguments))
            self._news.set()

        return note

    @property
    def local(self) -> rtc.LocalParticipant:
        return self.room.local_participant

    @property
    def identity(self) -> str:
        return self.local.identity

    def seen(self, event: str, where: Callable[..., bool] = lambda *_: True) -> list[tuple[Any, ...]]:
        return [arguments for name, arguments in self.record if name == event and where(*arguments)]

    async def sees(
        self,
        event: str,
        where: Callable[..., bool] = lambda *_: True,
        patience: float = PATIENCE_SECONDS,
    ) -> tuple[Any, ...]:
        """The arguments of the first such event, past or to come."""
        try:
            async with asyncio.timeout(patience):
                while True:
                    found = self.seen(event, where)
                    if found:
                        return found[0]
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            happened = ", ".join(name for name, _ in self.record) or "nothing"
            raise AssertionError(f"no such {event} within {patience:g} s; what happened: {happened}") from None

    async def receives_track(self, identity: str, kind: int) -> tuple[rtc.Track, rtc.RemoteTrackPublication]:
        track, publication, _ = await self.sees(
            "track_subscribed",
            lambda track, _, participant: participant.identity == identity and track.kind == kind,
        )
        return track, publication

    async def waits_for(self, participant: "Member") -> None:
        """Until the other one can receive data: its connection is up."""
        await self.sees("participant_active", lambda other: other.identity == participant.identity)


class Meeting:
    """One room, and everybody whom a test brought into it."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self._members: list[Member] = []

    async def join(
        self,
        identity: str,
        *,
        name: str = "",
        token: str | None = None,
        options: rtc.RoomOptions | None = None,
        **grants: Any,
    ) -> Member:
        member = Member()
        self._members.append(member)
        token = token or self.server.token(self.name, identity, name, **grants)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await member.room.connect(self.server.websocket_url, token, options or rtc.RoomOptions())
        return member

    async def pair(self, options: rtc.RoomOptions | None = None) -> tuple[Member, Member]:
        """Two participants who know of each other and whose connections are up."""
        ada = await self.join("ada", options=options)
        ben = await self.join("ben", options=options)
        await asyncio.gather(ada.waits_for(ben), until_active(ben, "ada"))
        return ada, ben

    async def close(self) -> None:
        await asyncio.gather(*(member.room.disconnect() for member in self._members))


async def until_active(member: Member, identity: str) -> None:
    """Who was there before may be active already, and then there is no event."""
    other = member.room.remote_participants.get(identity)
    if other is not None and other.state == rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE:
        return
    await member.sees("participant_active", lambda participant: participant.identity == identity)
