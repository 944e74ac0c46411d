"""Data between two SDKs: packets, text streams, byte streams and remote calls."""

from __future__ import annotations

import asyncio
import os

import pytest
from livekit import rtc

from meeting import PATIENCE_SECONDS, Meeting

CHAT_TOPIC = "lk.chat"
RELIABLE, LOSSY = rtc.DataPacketKind.KIND_RELIABLE, rtc.DataPacketKind.KIND_LOSSY


@pytest.mark.parametrize("single", [True, False], ids=["one-connection", "two-connections"])
@pytest.mark.parametrize("kind", [RELIABLE, LOSSY], ids=["reliable", "lossy"])
async def test_packets_go_both_ways(meeting: Meeting, single: bool, kind: int) -> None:
    ada, ben = await meeting.pair(rtc.RoomOptions(single_peer_connection=single))

    async def crosses(sender, receiver) -> None:
        payload = os.urandom(900)
        # On loopback nothing is lost, so one lossy packet must do.
        await sender.local.publish_data(payload, reliable=kind == RELIABLE, topic="both-ways")
        (packet,) = await receiver.sees("data_received", lambda packet: packet.topic == "both-ways")
        assert packet.data == payload
        assert packet.kind == kind
        assert packet.participant.identity == sender.identity

    await crosses(ada, ben)
    await crosses(ben, ada)


async def test_reliable_packets_arrive_complete_and_in_order(meeting: Meeting) -> None:
    ada, ben = await meeting.pair()
    count = 300
    for number in range(count):
        await ada.local.publish_data(number.to_bytes(4) * 250, topic="order")
    await ben.sees("data_received", lambda packet: packet.data[:4] == (count - 1).to_bytes(4))
    received = [int.from_bytes(packet.data[:4]) for (packet,) in ben.seen("data_received")]
    assert received == list(range(count))


async def test_only_those_addressed_receive_a_packet(meeting: Meeting) -> None:
    ada, ben = await meeting.pair()
    cleo = await meeting.join("cleo")
    await ada.waits_for(cleo)
    await ada.local.publish_data(b"for cleo", destination_identities=["cleo"], topic="addressed")
    await ada.local.publish_data(b"for all", topic="addressed")
    await asyncio.gather(*(member.sees("data_received", lambda packet: packet.data == b"for all") for member in (ben, cleo)))
    assert [packet.data for (packet,) in ben.seen("data_received")] == [b"for all"]
    assert [packet.data for (packet,) in cleo.seen("data_received")] == [b"for cleo", b"for all"]
    assert not ada.seen("data_received"), "a sender does not get its own packets back"


@pytest.mark.parametrize("single", [True, False], ids=["one-connection", "two-connections"])
async def test_chat_arrives_as_it_was_written(meeting: Meeting, single: bool) -> None:
    ada, ben = await meeting.pair(rtc.RoomOptions(single_peer_connection=single))
    # Longer than one packet of a stream, and not ASCII.
    text = "Dr Ó Briain: T2 N0 M0, »sehr klein« 🩺 " * 1_000
    arrived: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()

    async def read(reader: rtc.TextStreamReader, identity: str) -> None:
        arrived.set_result((await reader.read_all(), identity))

    readers: set[asyncio.Task] = set()
    ben.room.register_text_stream_handler(
        CHAT_TOPIC, lambda reader, identity: readers.add(asyncio.create_task(read(reader, identity)))
    )
    await ada.local.send_text(text, topic=CHAT_TOPIC)
    assert await asyncio.wait_for(arrived, PATIENCE_SECONDS) == (text, "ada")


async def test_a_stream_of_bytes_arrives_as_it_was_sent(meeting: Meeting) -> None:
    ada, ben = await meeting.pair()
    content = os.urandom(300_000)
    arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def read(reader: rtc.ByteStreamReader) -> None:
        arrived.set_result(b"".join([chunk async for chunk in reader]))

    readers: set[asyncio.Task] = set()
    ben.room.register_byte_stream_handler(
        "slides", lambda reader, _: readers.add(asyncio.create_task(read(reader)))
    )
    writer = await ada.local.stream_bytes("slides.bin", topic="slides", total_size=len(content))
    await writer.write(content)
    await writer.aclose()
    assert await asyncio.wait_for(arrived, PATIENCE_SECONDS) == content


async def test_a_remote_call_is_answered(meeting: Meeting) -> None:
    ada, ben = await meeting.pair()

    @ben.local.register_rpc_method("repeat")
    async def repeat(call: rtc.RpcInvocationData) -> str:
        return f"{call.caller_identity} said {call.payload}"

    answer = await ada.local.perform_rpc(destination_identity="ben", method="repeat", payload="hello")
    assert answer == "ada said hello"


async def test_a_remote_call_fails_as_its_handler_says(meeting: Meeting) -> None:
    ada, ben = await meeting.pair()

    @ben.local.register_rpc_method("refuse")
    async def refuse(_: rtc.RpcInvocationData) -> str:
        raise rtc.RpcError(4_711, "not today", "try tomorrow")

    with pytest.raises(rtc.RpcError) as refused:
        await ada.local.perform_rpc(destination_identity="ben", method="refuse", payload="")
    assert (refused.value.code, refused.value.message, refused.value.data) == (4_711, "not today", "try tomorrow")

    with pytest.raises(rtc.RpcError) as unknown:
        await ada.local.perform_rpc(destination_identity="ben", method="nothing", payload="")
    assert unknown.value.code == rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD
