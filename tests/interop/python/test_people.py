"""Who is in the room, what is said about them, what they may do, and how they leave."""

from __future__ import annotations

import asyncio
import datetime

import pytest
from livekit import api, rtc

from meeting import PATIENCE_SECONDS, Meeting, Server
from publishing import tone
from signals import hear, is_tone

AUDIO = rtc.TrackKind.KIND_AUDIO


async def test_name_metadata_and_attributes_of_the_token_are_seen(meeting: Meeting, server: Server) -> None:
    ben = await meeting.join("ben")
    token = (
        api.AccessToken(server.api_key, server.api_secret)
        .with_identity("ada")
        .with_name("Dr Ada Shah")
        .with_metadata('{"role":"chair"}')
        .with_attributes({"site": "north"})
        .with_grants(api.VideoGrants(room_join=True, room=meeting.name))
        .to_jwt()
    )
    ada = await meeting.join("ada", token=token)
    (joined,) = await ben.sees("participant_connected")
    for person in (joined, ada.local):
        assert (person.identity, person.name) == ("ada", "Dr Ada Shah")
        assert (person.metadata, person.attributes) == ('{"role":"chair"}', {"site": "north"})
    assert joined.sid == ada.local.sid and joined.sid.startswith("PA_")
    assert (await ada.room.sid).startswith("RM_") and await ada.room.sid == await ben.room.sid
    assert ada.room.name == meeting.name


async def test_a_participant_changes_its_own_name_metadata_and_attributes(meeting: Meeting) -> None:
    ada = await meeting.join("ada", can_update_own_metadata=True)
    ben = await meeting.join("ben")
    await ada.local.set_metadata("on call")
    await ada.local.set_name("Ada, on call")
    await ada.local.set_attributes({"hand": "raised", "site": "north"})
    person, _, metadata = await ben.sees("participant_metadata_changed")
    assert (person.identity, metadata) == ("ada", "on call")
    _, _, name = await ben.sees("participant_name_changed")
    assert name == "Ada, on call"
    changed, person = await ben.sees("participant_attributes_changed")
    assert changed == {"hand": "raised", "site": "north"} == person.attributes

    # An empty value takes the attribute away.
    await ada.local.set_attributes({"hand": ""})
    await ben.sees("participant_attributes_changed", lambda _, person: person.attributes == {"site": "north"})


async def test_metadata_stays_as_it_is_without_the_grant(meeting: Meeting) -> None:
    ada, ben = await meeting.pair()
    await ada.local.set_metadata("not allowed")
    await ada.local.publish_data(b"after", topic="order")
    await ben.sees("data_received")
    assert not ben.seen("participant_metadata_changed")
    assert ben.room.remote_participants["ada"].metadata == ""


async def test_a_token_without_publishing_cannot_publish(meeting: Meeting) -> None:
    ada = await meeting.join("ada", can_publish=False)
    ben = await meeting.join("ben")
    assert not ada.local.permissions.can_publish
    with pytest.raises(rtc.participant.PublishTrackError):
        async with tone(ada, 440):
            pass
    assert not ben.seen("track_published")
    assert not ben.room.remote_participants["ada"].track_publications
    # The refusal did not cost the connection: what others publish still arrives.
    async with tone(ben, 600):
        audio, _ = await ada.receives_track("ben", AUDIO)
        await hear(audio, is_tone(600))


async def test_a_token_without_data_sends_none(meeting: Meeting) -> None:
    ada = await meeting.join("ada", can_publish_data=False)
    ben = await meeting.join("ben")
    await asyncio.gather(ada.waits_for(ben))
    try:
        await ada.local.publish_data(b"not allowed", topic="forbidden")
    except rtc.participant.PublishDataError:
        pass  # An SDK that refuses by itself is as good.
    await ben.local.publish_data(b"there", topic="order")
    await ada.sees("data_received", lambda packet: packet.topic == "order")
    await ben.local.publish_data(b"there again", topic="order")
    await ada.sees("data_received", lambda packet: packet.data == b"there again")
    assert not ben.seen("data_received")


async def test_a_token_without_subscribing_receives_nothing(meeting: Meeting) -> None:
    ada = await meeting.join("ada", can_subscribe=False)
    ben = await meeting.join("ben")
    cleo = await meeting.join("cleo")
    async with tone(ben, 440):
        audio, _ = await cleo.receives_track("ben", AUDIO)
        await hear(audio, is_tone(440))
        assert not ada.seen("track_subscribed")


async def test_a_hidden_participant_is_not_shown_and_hears(meeting: Meeting) -> None:
    ben = await meeting.join("ben")
    ghost = await meeting.join("ghost", hidden=True, can_publish=False)
    cleo = await meeting.join("cleo")
    for member in (ben, ghost):
        await member.sees("participant_connected", lambda other: other.identity == "cleo")
    assert set(ben.room.remote_participants) == {"cleo"}
    assert set(cleo.room.remote_participants) == {"ben"}
    assert set(ghost.room.remote_participants) == {"ben", "cleo"}
    async with tone(ben, 440):
        audio, _ = await ghost.receives_track("ben", AUDIO)
        await hear(audio, is_tone(440))


async def test_who_is_removed_is_told_and_others_see_it(meeting: Meeting, server: Server) -> None:
    ada, ben = await meeting.pair()
    async with server.administrator() as administrator:
        await administrator.room.remove_participant(api.RoomParticipantIdentity(room=meeting.name, identity="ada"))
    (reason,) = await ada.sees("disconnected")
    assert reason == rtc.DisconnectReason.PARTICIPANT_REMOVED
    (gone,) = await ben.sees("participant_disconnected")
    assert gone.identity == "ada"


async def test_everybody_is_told_that_the_room_was_deleted(meeting: Meeting, server: Server) -> None:
    ada, ben = await meeting.pair()
    async with server.administrator() as administrator:
        await administrator.room.delete_room(api.DeleteRoomRequest(room=meeting.name))
    reasons = await asyncio.gather(ada.sees("disconnected"), ben.sees("disconnected"))
    assert reasons == [(rtc.DisconnectReason.ROOM_DELETED,)] * 2


async def test_the_older_of_two_with_one_identity_leaves_with_a_reason(meeting: Meeting) -> None:
    older = await meeting.join("ada")
    ben = await meeting.join("ben")
    older_sid = older.local.sid
    newer = await meeting.join("ada")
    (reason,) = await older.sees("disconnected")
    assert reason == rtc.DisconnectReason.DUPLICATE_IDENTITY
    assert newer.local.sid != older_sid
    await ben.sees("participant_connected", lambda other: other.sid == newer.local.sid)
    assert ben.room.remote_participants["ada"].sid == newer.local.sid
    # The newer one works.
    async with tone(ben, 440):
        audio, _ = await newer.receives_track("ben", AUDIO)
        await hear(audio, is_tone(440))
    assert not newer.seen("disconnected")


async def test_who_leaves_is_gone_for_others_at_once(meeting: Meeting) -> None:
    ada, ben = await meeting.pair()
    await ada.room.disconnect()
    (gone,) = await ben.sees("participant_disconnected", patience=1)
    assert gone.identity == "ada"
    assert "ada" not in ben.room.remote_participants


async def test_metadata_of_the_room_reaches_everybody(meeting: Meeting, server: Server) -> None:
    ada, ben = await meeting.pair()
    async with server.administrator() as administrator:
        room = await administrator.room.update_room_metadata(
            api.UpdateRoomMetadataRequest(room=meeting.name, metadata="case 3 of 12")
        )
    assert room.metadata == "case 3 of 12"
    for member in (ada, ben):
        _, metadata = await member.sees("room_metadata_changed")
        assert metadata == "case 3 of 12" == member.room.metadata


async def test_the_server_mutes_a_track_and_everybody_sees_it(meeting: Meeting, server: Server) -> None:
    ada, ben = await meeting.pair()
    async with tone(ada, 440) as (_, publication), server.administrator() as administrator:
        await ben.receives_track("ada", AUDIO)
        answer = await administrator.room.mute_published_track(
            api.MuteRoomTrackRequest(room=meeting.name, identity="ada", track_sid=publication.sid, muted=True)
        )
        assert (answer.track.sid, answer.track.muted) == (publication.sid, True)
        for member in (ada, ben):
            person, muted = await member.sees("track_muted")
            assert (person.identity, muted.sid) == ("ada", publication.sid)


@pytest.mark.parametrize("flaw", ["expired", "forged", "no-room-join"])
async def test_a_bad_token_does_not_join(meeting: Meeting, server: Server, flaw: str) -> None:
    access = api.AccessToken(server.api_key, server.api_secret).with_identity("ada")
    if flaw == "forged":
        access = api.AccessToken(server.api_key, "another secret, of the same length").with_identity("ada")
    if flaw == "expired":
        access = access.with_ttl(datetime.timedelta(hours=-1))
    access = access.with_grants(api.VideoGrants(room_join=flaw != "no-room-join", room=meeting.name))
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(rtc.ConnectError) as refused:
            await meeting.join("ada", token=access.to_jwt())
    assert "401" in refused.value.message or "403" in refused.value.message, refused.value.message


async def test_a_full_room_is_refused(meeting: Meeting, server: Server) -> None:
    async with server.administrator() as administrator:
        await administrator.room.create_room(api.CreateRoomRequest(name=meeting.name, max_participants=1))
    await meeting.join("ada")
    with pytest.raises(rtc.ConnectError):
        await meeting.join("ben")
