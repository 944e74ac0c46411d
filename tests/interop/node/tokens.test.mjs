// Tokens between the SDKs and the server, both ways, and what a token does not allow.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { ConnectError, dispose } from '@livekit/rtc-node';
import { ListRoomsRequest, ListRoomsResponse } from '@livekit/protocol';
import { AccessToken, RoomServiceClient, TokenVerifier, TrackSource } from 'livekit-server-sdk';
import { Member } from './member.mjs';
import {
  apiKey,
  apiSecret,
  commandLineToken,
  httpUrl,
  joinToken,
  newRoomName,
  roomService,
  twirp,
} from './server.mjs';

const ANOTHER_SECRET = 'another secret that is just as long as it must be';
const HOUR_SECONDS = 3600;

after(() => dispose());

/** Signs what the SDK would not. */
function sign(claims, { algorithm = 'HS256', secret = apiSecret } = {}) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${encode({ alg: algorithm, typ: 'JWT' })}.${encode(claims)}`;
  const signature = algorithm === 'none' ? '' : createHmac('sha256', secret).update(text).digest('base64url');
  return `${text}.${signature}`;
}

function claims(changes = {}) {
  const now = Math.floor(Date.now() / 1000);
  const video = { roomJoin: true, roomList: true, roomCreate: true, roomAdmin: true, room: 'flaws' };
  return { iss: apiKey, sub: 'ada', nbf: now - 60, exp: now + HOUR_SECONDS, video, ...changes };
}

const now = Math.floor(Date.now() / 1000);
const FLAWED = {
  'no token': undefined,
  'an empty token': '',
  'no JSON Web Token': 'rubbish',
  'a wrong secret': sign(claims(), { secret: ANOTHER_SECRET }),
  'no signature': sign(claims(), { algorithm: 'none' }),
  'another algorithm in the header': sign(claims(), { algorithm: 'HS512' }),
  'an unknown key': sign(claims({ iss: 'nobody' })),
  'an expired token': sign(claims({ exp: now - HOUR_SECONDS })),
  'no expiry': sign(claims({ exp: undefined })),
  'a token that is not valid yet': sign(claims({ nbf: now + HOUR_SECONDS })),
};

describe('tokens that consilium made', () => {
  it('are verified by the SDK', async () => {
    const token = await commandLineToken('--room', 'mdt', '--identity', 'ada', '--name', 'Dr Ada Shah');
    const verified = await new TokenVerifier(apiKey, apiSecret).verify(token);
    assert.equal(verified.sub, 'ada');
    assert.equal(verified.name, 'Dr Ada Shah');
    assert.deepEqual([verified.video.room, verified.video.roomJoin], ['mdt', true]);
    assert.notEqual(verified.video.roomAdmin, true);
    assert.ok(verified.exp > now);
  });

  it('are not verified with another secret', async () => {
    const token = await commandLineToken('--room', 'mdt', '--identity', 'ada');
    await assert.rejects(new TokenVerifier(apiKey, ANOTHER_SECRET).verify(token));
  });

  it('carry the grants that the flags say', async () => {
    const flags = ['--no-publish', '--hidden', '--admin', '--ttl', '90s'];
    const token = await commandLineToken('--room', 'mdt', '--identity', 'ada', ...flags);
    const { video, exp } = await new TokenVerifier(apiKey, apiSecret).verify(token);
    assert.deepEqual([video.canPublish, video.hidden, video.roomAdmin], [false, true, true]);
    assert.ok(exp <= Date.now() / 1000 + 91);
  });

  it('let the real-time SDK join', async () => {
    const room = newRoomName('command-line');
    const token = await commandLineToken('--room', room, '--identity', 'ada', '--name', 'Dr Ada Shah');
    const member = await Member.join(room, 'ada', { token });
    assert.deepEqual([member.local.identity, member.local.name], ['ada', 'Dr Ada Shah']);
    assert.equal(member.room.name, room);
    await member.leave();
  });
});

describe('tokens that the SDK made', () => {
  it('let a participant join with everything that they say', async () => {
    const room = newRoomName('access-token');
    const member = await Member.join(room, 'ada', {
      name: 'Dr Ada Shah',
      metadata: 'chair',
      attributes: { site: 'north' },
      grants: { canPublishSources: [TrackSource.MICROPHONE] },
    });
    const person = await roomService.getParticipant(room, 'ada');
    assert.deepEqual([person.name, person.metadata], ['Dr Ada Shah', 'chair']);
    assert.deepEqual(person.attributes, { site: 'north' });
    assert.deepEqual(person.permission.canPublishSources, [TrackSource.MICROPHONE]);
    await member.leave();
  });

  for (const path of ['/rtc/validate', '/rtc/v1/validate']) {
    it(`are valid at ${path}`, async () => {
      const url = new URL(path, httpUrl);
      url.searchParams.set('access_token', await joinToken('validate', 'ada'));
      const response = await fetch(url);
      assert.equal(response.status, 200);
      assert.equal(await response.text(), 'success');
      assert.equal(response.headers.get('access-control-allow-origin'), '*');
    });
  }
});

describe('flawed tokens', () => {
  for (const [flaw, token] of Object.entries(FLAWED)) {
    it(`are unauthenticated at the server API: ${flaw}`, async () => {
      const response = await twirp('ListRooms', token, '{}');
      assert.equal(response.status, 401);
      assert.match(response.headers.get('content-type'), /^application\/json/);
      const refusal = await response.json();
      assert.equal(refusal.code, 'unauthenticated');
      assert.ok(refusal.msg.length > 0);
    });

    for (const path of ['/rtc/validate', '/rtc/v1/validate']) {
      it(`are refused at ${path}, readable by a page of another origin: ${flaw}`, async () => {
        const url = new URL(path, httpUrl);
        if (token !== undefined) url.searchParams.set('access_token', token);
        const response = await fetch(url);
        assert.equal(response.status, 401);
        assert.equal(response.headers.get('access-control-allow-origin'), '*');
        const reason = await response.text();
        assert.ok(reason.length > 0);
        if (token) assert.ok(!reason.includes(token), 'an answer must not repeat the token');
      });
    }
  }

  it('are not what the test itself gets wrong: the same claims without a flaw pass', async () => {
    assert.equal((await twirp('ListRooms', sign(claims()), '{}')).status, 200);
  });

  it('do not join', async () => {
    const room = newRoomName('flawed');
    const token = sign(claims({ exp: now - HOUR_SECONDS, video: { roomJoin: true, room } }));
    await assert.rejects(Member.join(room, 'ada', { token }), ConnectError);
    assert.deepEqual(await roomService.listRooms([room]), []);
  });

  it('make the server SDK throw a typed error', async () => {
    const stranger = new RoomServiceClient(httpUrl, apiKey, ANOTHER_SECRET);
    await assert.rejects(stranger.listRooms(), { code: 'unauthenticated', status: 401 });
  });
});

describe('missing grants', () => {
  const CALLS = {
    CreateRoom: [{ name: 'grants' }, { roomCreate: true }],
    DeleteRoom: [{ room: 'grants' }, { roomCreate: true }],
    ListRooms: [{}, { roomList: true }],
    ListParticipants: [{ room: 'grants' }],
    GetParticipant: [{ room: 'grants', identity: 'ada' }],
    RemoveParticipant: [{ room: 'grants', identity: 'ada' }],
    MutePublishedTrack: [{ room: 'grants', identity: 'ada', trackSid: 'TR_x', muted: true }],
    UpdateParticipant: [{ room: 'grants', identity: 'ada', name: 'x' }],
    UpdateSubscriptions: [{ room: 'grants', identity: 'ada', trackSids: ['TR_x'], subscribe: false }],
    SendData: [{ room: 'grants', data: 'eA==', kind: 'RELIABLE' }],
    UpdateRoomMetadata: [{ room: 'grants', metadata: 'x' }],
  };

  async function tokenWith(grant) {
    const token = new AccessToken(apiKey, apiSecret, { identity: 'host' });
    token.addGrant(grant);
    return token.toJwt();
  }

  async function isDenied(method, body, grant) {
    const response = await twirp(method, await tokenWith(grant), JSON.stringify(body));
    assert.equal(response.status, 403);
    assert.equal((await response.json()).code, 'permission_denied');
  }

  for (const [method, [body, needed]] of Object.entries(CALLS)) {
    it(`${method} is denied without its grant`, async () => {
      const others = { roomCreate: true, roomList: true, roomAdmin: true, roomJoin: true, room: 'grants' };
      for (const name of Object.keys(needed ?? { roomAdmin: true })) delete others[name];
      await isDenied(method, body, others);
    });

    if (needed === undefined) {
      it(`${method} is denied to the administrator of another room`, async () => {
        await isDenied(method, body, { roomAdmin: true, room: 'another' });
      });
    }
  }
});

describe('the wire', () => {
  it('takes and gives protobuf as well as JSON', async () => {
    const name = newRoomName('protobuf');
    await roomService.createRoom({ name });
    const token = new AccessToken(apiKey, apiSecret);
    token.addGrant({ roomList: true });
    const body = new ListRoomsRequest({ names: [name] }).toBinary();
    const response = await twirp('ListRooms', await token.toJwt(), body, 'application/protobuf');
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type'), /^application\/protobuf/);
    const { rooms } = ListRoomsResponse.fromBinary(new Uint8Array(await response.arrayBuffer()));
    assert.deepEqual(rooms.map((room) => room.name), [name]);
  });

  it('answers an unknown method with bad_route', async () => {
    const response = await twirp('DoSomething', sign(claims()), '{}');
    assert.equal(response.status, 404);
    assert.equal((await response.json()).code, 'bad_route');
  });

  for (const [type, body] of [
    ['application/json', '{'],
    ['application/json', '{"names": 3}'],
    ['application/protobuf', Buffer.from([0xff, 0xff])],
  ]) {
    it(`answers a malformed body with malformed (${type}, ${body.length} bytes)`, async () => {
      const response = await twirp('ListRooms', sign(claims()), body, type);
      assert.equal(response.status, 400);
      assert.equal((await response.json()).code, 'malformed');
    });
  }
});
