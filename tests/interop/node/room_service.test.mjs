// The server SDK drives every call of the RoomService, against rooms with real participants in them.

import assert from 'node:assert/strict';
import { after, afterEach, describe, it } from 'node:test';
import { ConnectError, DisconnectReason, RoomEvent, dispose } from '@livekit/rtc-node';
import { DataPacket_Kind, ParticipantInfo_State, TrackSource, TrackType } from 'livekit-server-sdk';
import { Member, hears } from './member.mjs';
import { newRoomName, roomService } from './server.mjs';

const members = [];

async function join(room, identity, options) {
  const member = await Member.join(room, identity, options);
  members.push(member);
  return member;
}

/** Two who see each other; their own states have reached the server. */
async function pair(topic) {
  const room = newRoomName(topic);
  const ada = await join(room, 'ada');
  const ben = await join(room, 'ben');
  await ada.sees(RoomEvent.ParticipantConnected);
  return { room, ada, ben };
}

afterEach(async () => {
  for (const member of members.splice(0)) await member.leave();
});
after(() => dispose());

function isRefusal(code, status) {
  return (error) => {
    assert.equal(error.code, code, error.message);
    assert.equal(error.status, status);
    assert.ok(error.message.length > 0);
    return true;
  };
}

describe('createRoom, listRooms, deleteRoom', () => {
  it('creates a room as it was asked for, and lists it', async () => {
    const name = newRoomName('create');
    const before = BigInt(Math.floor(Date.now() / 1000)) - 1n;
    const created = await roomService.createRoom({
      name,
      emptyTimeout: 77,
      departureTimeout: 33,
      maxParticipants: 5,
      metadata: 'case list',
    });
    assert.equal(created.name, name);
    assert.match(created.sid, /^RM_\w+$/);
    assert.deepEqual(
      [created.emptyTimeout, created.departureTimeout, created.maxParticipants, created.metadata],
      [77, 33, 5, 'case list'],
    );
    assert.ok(created.creationTime >= before);
    const [listed, ...others] = await roomService.listRooms([name]);
    assert.equal(others.length, 0);
    assert.equal(listed.sid, created.sid);
    assert.equal(listed.numParticipants, 0);
  });

  it('answers with the room that exists when it is created again', async () => {
    const name = newRoomName('again');
    const first = await roomService.createRoom({ name });
    const second = await roomService.createRoom({ name });
    assert.match(first.sid, /^RM_\w+$/);
    assert.equal(second.sid, first.sid);
  });

  it('lists all rooms, or those that are named', async () => {
    const names = [newRoomName('list'), newRoomName('list'), newRoomName('list')];
    for (const name of names) await roomService.createRoom({ name });
    const all = (await roomService.listRooms()).map(({ name }) => name);
    for (const name of names) assert.ok(all.includes(name));
    const some = (await roomService.listRooms([names[0], names[2], newRoomName('absent')])).map(({ name }) => name);
    assert.deepEqual(some.sort(), [names[0], names[2]].sort());
  });

  it('counts participants and publishers', async () => {
    const { room, ada, ben } = await pair('count');
    await ada.publishTone();
    await ben.sees(RoomEvent.TrackPublished);
    const [listed] = await roomService.listRooms([room]);
    assert.equal(listed.numParticipants, 2);
    assert.equal(listed.numPublishers, 1);
  });

  it('keeps out whoever comes after the last seat is taken', async () => {
    const name = newRoomName('full');
    await roomService.createRoom({ name, maxParticipants: 1 });
    await join(name, 'ada');
    await assert.rejects(join(name, 'ben'), ConnectError);
    assert.equal((await roomService.listParticipants(name)).length, 1);
  });

  it('deletes a room, and everybody in it is told', async () => {
    const { room, ada, ben } = await pair('delete');
    await roomService.deleteRoom(room);
    for (const member of [ada, ben]) {
      const [reason] = await member.sees(RoomEvent.Disconnected);
      assert.equal(reason, DisconnectReason.ROOM_DELETED);
    }
    assert.deepEqual(await roomService.listRooms([room]), []);
  });

  it('does not find a room to delete that does not exist', async () => {
    await assert.rejects(roomService.deleteRoom(newRoomName('absent')), isRefusal('not_found', 404));
  });

  it('does not create a room without a name', async () => {
    await assert.rejects(roomService.createRoom({ name: '' }), isRefusal('invalid_argument', 400));
  });
});

describe('listParticipants, getParticipant', () => {
  it('shows who is in the room and what they publish', async () => {
    const room = newRoomName('people');
    const ada = await join(room, 'ada', { name: 'Dr Ada Shah', metadata: 'chair', attributes: { site: 'north' } });
    const ben = await join(room, 'ben');
    const publication = await ada.publishTone();
    await ben.sees(RoomEvent.TrackSubscribed);

    const people = await roomService.listParticipants(room);
    assert.deepEqual(people.map(({ identity }) => identity).sort(), ['ada', 'ben']);
    const person = await roomService.getParticipant(room, 'ada');
    assert.equal(person.sid, ada.local.sid);
    assert.equal(person.name, 'Dr Ada Shah');
    assert.equal(person.metadata, 'chair');
    assert.deepEqual(person.attributes, { site: 'north' });
    assert.equal(person.state, ParticipantInfo_State.ACTIVE);
    assert.equal(person.isPublisher, true);
    assert.ok(person.joinedAt > 0n);
    const [track, ...others] = person.tracks;
    assert.equal(others.length, 0);
    assert.deepEqual(
      [track.sid, track.type, track.source, track.muted, track.name],
      [publication.sid, TrackType.AUDIO, TrackSource.MICROPHONE, false, 'tone'],
    );
  });

  it('finds nobody in a room, and no room, that do not exist', async () => {
    const name = newRoomName('nobody');
    await assert.rejects(roomService.getParticipant(name, 'ada'), isRefusal('not_found', 404));
    await roomService.createRoom({ name });
    await assert.rejects(roomService.getParticipant(name, 'ada'), isRefusal('not_found', 404));
    assert.deepEqual(await roomService.listParticipants(name), []);
  });
});

describe('removeParticipant', () => {
  it('tells the removed one why, and the others that they left', async () => {
    const { room, ada, ben } = await pair('remove');
    await roomService.removeParticipant(room, 'ada');
    const [reason] = await ada.sees(RoomEvent.Disconnected);
    assert.equal(reason, DisconnectReason.PARTICIPANT_REMOVED);
    const [gone] = await ben.sees(RoomEvent.ParticipantDisconnected);
    assert.equal(gone.identity, 'ada');
    assert.deepEqual((await roomService.listParticipants(room)).map(({ identity }) => identity), ['ben']);
    await assert.rejects(roomService.removeParticipant(room, 'ada'), isRefusal('not_found', 404));
  });
});

describe('mutePublishedTrack', () => {
  it('mutes at the publisher and is seen by the others', async () => {
    const { room, ada, ben } = await pair('mute');
    const { sid } = await ada.publishTone();
    await ben.sees(RoomEvent.TrackSubscribed);
    const track = await roomService.mutePublishedTrack(room, 'ada', sid, true);
    assert.deepEqual([track.sid, track.muted], [sid, true]);
    for (const member of [ada, ben]) {
      await member.sees(RoomEvent.TrackMuted, (publication, who) => publication.sid === sid && who.identity === 'ada');
    }
    const person = await roomService.getParticipant(room, 'ada');
    assert.equal(person.tracks[0].muted, true);
  });

  it('does not find a track that does not exist', async () => {
    const { room } = await pair('mute-absent');
    await assert.rejects(roomService.mutePublishedTrack(room, 'ada', 'TR_absent', true), isRefusal('not_found', 404));
  });
});

describe('updateParticipant', () => {
  it('changes name, metadata and attributes, and everybody sees it', async () => {
    const { room, ben } = await pair('update');
    const updated = await roomService.updateParticipant(room, 'ada', {
      name: 'Ada, chair',
      metadata: 'chair',
      attributes: { hand: 'raised' },
    });
    assert.deepEqual([updated.name, updated.metadata], ['Ada, chair', 'chair']);
    assert.deepEqual(updated.attributes, { hand: 'raised' });
    await ben.sees(RoomEvent.ParticipantNameChanged, (name, who) => name === 'Ada, chair' && who.identity === 'ada');
    await ben.sees(RoomEvent.ParticipantMetadataChanged, (_, who) => who.metadata === 'chair');
    await ben.sees(RoomEvent.ParticipantAttributesChanged, (changed) => changed.hand === 'raised');
  });

  it('takes the permission to publish away', async () => {
    const { room, ada, ben } = await pair('permission');
    await ada.publishTone();
    await ben.sees(RoomEvent.TrackSubscribed);
    const updated = await roomService.updateParticipant(room, 'ada', {
      permission: { canSubscribe: true, canPublish: false, canPublishData: true },
    });
    assert.equal(updated.permission.canPublish, false);
    // What was published before ends too: the permission is about now, not about the moment of publishing.
    await ben.sees(RoomEvent.TrackUnpublished);
    assert.deepEqual((await roomService.getParticipant(room, 'ada')).tracks, []);
  });
});

describe('updateSubscriptions', () => {
  it('ends and restores what somebody receives', async () => {
    const { room, ada, ben } = await pair('subscriptions');
    const { sid } = await ada.publishTone();
    const [track] = await ben.sees(RoomEvent.TrackSubscribed);
    await hears(track, 'tone');
    await roomService.updateSubscriptions(room, 'ben', [sid], false);
    // The SDK tells of unsubscribing only what it asked for itself; what ends is the sound.
    await hears(track, 'silence');
    ben.forget();
    await roomService.updateSubscriptions(room, 'ben', [sid], true);
    const [again, publication] = await ben.sees(RoomEvent.TrackSubscribed);
    assert.equal(publication.sid, sid);
    await hears(again, 'tone');
  });
});

describe('sendData', () => {
  for (const kind of [DataPacket_Kind.RELIABLE, DataPacket_Kind.LOSSY]) {
    it(`reaches everybody, from nobody, with its topic (${DataPacket_Kind[kind].toLowerCase()})`, async () => {
      const { room, ada, ben } = await pair('data');
      await roomService.sendData(room, Buffer.from('to all'), kind, { topic: 'notice' });
      for (const member of [ada, ben]) {
        const [data, from, , topic] = await member.sees(RoomEvent.DataReceived);
        assert.equal(Buffer.from(data).toString(), 'to all');
        assert.deepEqual([from, topic], [undefined, 'notice']);
      }
    });
  }

  it('reaches only those addressed', async () => {
    const { room, ada, ben } = await pair('data-to-one');
    const reliable = DataPacket_Kind.RELIABLE;
    await roomService.sendData(room, Buffer.from('to ben'), reliable, { destinationIdentities: ['ben'] });
    await roomService.sendData(room, Buffer.from('to all'), reliable, {});
    const texts = (member) => member.seen(RoomEvent.DataReceived).map(([data]) => Buffer.from(data).toString());
    for (const member of [ada, ben]) {
      await member.sees(RoomEvent.DataReceived, (data) => Buffer.from(data).toString() === 'to all');
    }
    assert.deepEqual(texts(ada), ['to all']);
    assert.deepEqual(texts(ben), ['to ben', 'to all']);
  });
});

describe('updateRoomMetadata', () => {
  it('answers with the room and tells everybody in it', async () => {
    const { room, ada, ben } = await pair('metadata');
    const updated = await roomService.updateRoomMetadata(room, 'case 3 of 12');
    assert.equal(updated.metadata, 'case 3 of 12');
    for (const member of [ada, ben]) {
      await member.sees(RoomEvent.RoomMetadataChanged, (metadata) => metadata === 'case 3 of 12');
    }
    const late = await join(room, 'cleo');
    assert.equal(late.room.metadata, 'case 3 of 12');
  });

  it('does not find a room that does not exist', async () => {
    await assert.rejects(roomService.updateRoomMetadata(newRoomName('absent'), 'x'), isRefusal('not_found', 404));
  });
});
