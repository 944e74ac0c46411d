"""What one SDK publishes, the other hears and sees: the same tone, the same moving picture."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc

from counters import counters
from meeting import Meeting
from publishing import pictures, tone
from signals import Seen, hear, is_silence, is_tone, moving_square, watch

AUDIO, VIDEO = rtc.TrackKind.KIND_AUDIO, rtc.TrackKind.KIND_VIDEO


def connections(single: bool) -> rtc.RoomOptions:
    return rtc.RoomOptions(single_peer_connection=single)


def of_size(width: int, height: int):
    """Enough pictures of exactly this size with the square moving in them."""

    def enough(seen: list[Seen]) -> bool:
        return moving_square([picture for picture in seen if (picture.width, picture.height) == (width, height)])

    return enough


@pytest.mark.parametrize("single", [True, False], ids=["one-connection", "two-connections"])
async def test_two_participants_hear_and_see_each_other(meeting: Meeting, single: bool) -> None:
    ada, ben = await meeting.pair(connections(single))
    async with tone(ada, 440), tone(ben, 1_000), pictures(ada), pictures(ben):

        async def hears_and_sees(member, other: str, hertz: float) -> None:
            audio, heard = await member.receives_track(other, AUDIO)
            video, seen = await member.receives_track(other, VIDEO)
            assert heard.source == rtc.TrackSource.SOURCE_MICROPHONE
            assert seen.source == rtc.TrackSource.SOURCE_CAMERA
            assert (seen.width, seen.height) == (320, 240)
            await asyncio.gather(hear(audio, is_tone(hertz)), watch(video, of_size(320, 240)))

        await asyncio.gather(hears_and_sees(ada, "ben", 1_000), hears_and_sees(ben, "ada", 440))


async def test_participants_with_one_and_with_two_connections_hear_each_other(meeting: Meeting) -> None:
    ada = await meeting.join("ada", options=connections(True))
    ben = await meeting.join("ben", options=connections(False))
    async with tone(ada, 440), tone(ben, 1_000):
        ben_at_ada, _ = await ada.receives_track("ben", AUDIO)
        ada_at_ben, _ = await ben.receives_track("ada", AUDIO)
        await asyncio.gather(hear(ben_at_ada, is_tone(1_000)), hear(ada_at_ben, is_tone(440)))


@pytest.mark.parametrize("single", [True, False], ids=["one-connection", "two-connections"])
async def test_who_comes_late_hears_and_sees_what_was_published_before(meeting: Meeting, single: bool) -> None:
    ada = await meeting.join("ada", options=connections(single))
    async with tone(ada, 440), pictures(ada):
        ben = await meeting.join("ben", options=connections(single))
        audio, _ = await ben.receives_track("ada", AUDIO)
        video, _ = await ben.receives_track("ada", VIDEO)
        await asyncio.gather(hear(audio, is_tone(440)), watch(video, of_size(320, 240)))


@pytest.mark.parametrize("codec", ["VP8", "VP9", "H264", "AV1"])
async def test_pictures_arrive_in_each_codec(meeting: Meeting, codec: str) -> None:
    ada, ben = await meeting.pair()
    async with pictures(ada, codec=getattr(rtc.VideoCodec, codec)):
        video, publication = await ben.receives_track("ada", VIDEO)
        await watch(video, of_size(320, 240))
        assert publication.mime_type.lower() == f"video/{codec.lower()}"


@pytest.mark.parametrize("red", [True, False], ids=["redundant", "plain"])
async def test_sound_arrives_with_and_without_redundancy(meeting: Meeting, red: bool) -> None:
    ada, ben = await meeting.pair()
    async with tone(ada, 700, red=red):
        audio, _ = await ben.receives_track("ada", AUDIO)
        await hear(audio, is_tone(700))


async def test_redundant_sound_arrives_with_each_piece_twice(meeting: Meeting) -> None:
    """Nobody is told of the redundancy, and nothing is lost here that it could repair: it shows in the size alone."""
    ada, ben = await meeting.pair()

    async def bytes_per_packet(red: bool) -> float:
        async with tone(ada, 700, red=red) as (_, publication):
            track, _, _ = await ben.sees("track_subscribed", lambda _, new, __: new.sid == publication.sid)
            await hear(track, is_tone(700))
            entry = await counters(track, "inbound_rtp", lambda entry: entry.received.packets_received >= 150)
            return entry.inbound.bytes_received / entry.received.packets_received

    plain, redundant = await bytes_per_packet(False), await bytes_per_packet(True)
    assert 1.6 * plain < redundant < 2.4 * plain, f"{plain:.0f} and {redundant:.0f} bytes"


async def test_a_receiver_of_simulcast_gets_the_size_that_it_chooses(meeting: Meeting) -> None:
    ada, ben = await meeting.pair()
    async with pictures(ada, 1280, 720, simulcast=True):
        video, publication = await ben.receives_track("ada", VIDEO)
        assert publication.simulcasted

        def narrower(seen: list[Seen]) -> bool:
            return moving_square([picture for picture in seen if picture.width <= 480])

        publication.set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_LOW)
        await watch(video, narrower)


async def test_a_muted_tone_is_silent_and_comes_back(meeting: Meeting) -> None:
    ada, ben = await meeting.pair()
    async with tone(ada, 440) as (track, publication):
        audio, _ = await ben.receives_track("ada", AUDIO)
        await hear(audio, is_tone(440))
        track.mute()
        _, muted = await ben.sees("track_muted")
        assert muted.sid == publication.sid and muted.muted
        await hear(audio, is_silence)
        track.unmute()
        _, unmuted = await ben.sees("track_unmuted")
        assert unmuted.sid == publication.sid and not unmuted.muted
        await hear(audio, is_tone(440))


@pytest.mark.parametrize("single", [True, False], ids=["one-connection", "two-connections"])
async def test_an_unpublished_track_is_gone_for_others_and_the_next_one_arrives(meeting: Meeting, single: bool) -> None:
    ada, ben = await meeting.pair(connections(single))
    async with tone(ada, 440) as (_, publication):
        audio, _ = await ben.receives_track("ada", AUDIO)
        await hear(audio, is_tone(440))
        await ada.local.unpublish_track(publication.sid)
        await ben.sees("track_unpublished", lambda gone, _: gone.sid == publication.sid)
    async with tone(ada, 900) as (_, publication):
        track, _, _ = await ben.sees("track_subscribed", lambda _, new, __: new.sid == publication.sid)
        await hear(track, is_tone(900))


@pytest.mark.parametrize("single", [True, False], ids=["one-connection", "two-connections"])
async def test_a_receiver_stops_and_resumes_a_subscription(meeting: Meeting, single: bool) -> None:
    ada, ben = await meeting.pair(connections(single))
    async with tone(ada, 440):
        _, publication = await ben.receives_track("ada", AUDIO)
        publication.set_subscribed(False)
        await ben.sees("track_unsubscribed")
        ben.record.clear()
        publication.set_subscribed(True)
        audio, _ = await ben.receives_track("ada", AUDIO)
        await hear(audio, is_tone(440))


async def test_nothing_is_subscribed_without_auto_subscribe(meeting: Meeting) -> None:
    ada = await meeting.join("ada")
    ben = await meeting.join("ben", options=rtc.RoomOptions(auto_subscribe=False))
    async with tone(ada, 440):
        publication, _ = await ben.sees("track_published")
        # A packet that was relayed in order after the announcement: had there been a subscription, it would be known.
        await until_data(ada, ben)
        assert not ben.seen("track_subscribed")
        publication.set_subscribed(True)
        audio, _ = await ben.receives_track("ada", AUDIO)
        await hear(audio, is_tone(440))


async def until_data(sender, receiver) -> None:
    await sender.sees("participant_active", lambda other: other.identity == receiver.identity)
    await sender.local.publish_data(b"after", topic="order")
    await receiver.sees("data_received", lambda packet: packet.topic == "order")


async def test_who_speaks_is_told_to_everybody(meeting: Meeting) -> None:
    ada, ben = await meeting.pair()
    async with tone(ada, 440):
        await ben.sees("active_speakers_changed", lambda speakers: [s.identity for s in speakers] == ["ada"])
    await ben.sees("active_speakers_changed", lambda speakers: speakers == [])


async def test_pictures_encrypted_end_to_end_arrive(meeting: Meeting) -> None:
    """The server must not touch a payload: what it cannot read must still decode at the receiver."""

    def sealed() -> rtc.RoomOptions:
        key = rtc.KeyProviderOptions(shared_key=b"a key that the server never sees")
        return rtc.RoomOptions(encryption=rtc.E2EEOptions(key_provider_options=key))

    ada = await meeting.join("ada", options=sealed())
    ben = await meeting.join("ben", options=sealed())
    async with tone(ada, 440), pictures(ada):
        audio, heard = await ben.receives_track("ada", AUDIO)
        video, seen = await ben.receives_track("ada", VIDEO)
        assert heard.encryption_type == seen.encryption_type == rtc.EncryptionType.GCM
        await asyncio.gather(hear(audio, is_tone(440)), watch(video, of_size(320, 240)))
