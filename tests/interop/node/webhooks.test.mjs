// The server SDK's own receiver verifies what is sent: product events and media events, after three failures.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { dispose } from '@livekit/rtc-node';
import { WebhookReceiver } from 'livekit-server-sdk';
import { Member } from './member.mjs';
import { httpUrl, newRoomName, restKey } from './server.mjs';

const WAIT_MS = 30_000;

/** What came, oldest first, with the status that it was answered with. */
const received = [];
let failures = 0;
let server;
let hook;
let arrived = () => {};

function collect(request, response) {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const status = failures > 0 ? 503 : 200;
    failures = Math.max(0, failures - 1);
    received.push({ headers: request.headers, text: Buffer.concat(chunks).toString(), status });
    response.writeHead(status).end();
    arrived();
  });
}

async function rest(method, path, body, key) {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}`, 'if-match': '*' };
  const answer = await fetch(`${httpUrl}/api/v1/${path}`, { method, headers, body: JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.status === 204 ? undefined : answer.json();
}

async function waitFor(what, found) {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const result = found();
    if (result) return result;
    const left = deadline - Date.now();
    assert.ok(left > 0, `${what} did not come; these did: ${received.map(({ text }) => text).join('\n')}`);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, left);
      arrived = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const about = (event, subject) =>
  received.filter(({ text }) => text.includes(`"event":"${event}"`) && text.includes(`"${subject}"`));

describe('webhooks', () => {
  let key;
  let receiver;

  before(async () => {
    key = await restKey('meetings:write', 'webhooks:admin');
    server = createServer(collect);
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    hook = await rest('POST', 'webhooks', { url: `http://127.0.0.1:${server.address().port}/` }, key);
    receiver = new WebhookReceiver(hook.id, hook.secret);
  });

  after(async () => {
    server.close();
    await dispose();
  });

  it('of the product arrive after three failures with one id and a signature that the SDK accepts', async () => {
    failures = 3;
    const meeting = await rest('POST', 'meetings', {
      title: 'Lung MDT',
      start: '2027-01-05T08:30:00',
      time_zone: 'Europe/London',
      duration_minutes: 60,
    }, key);
    const attempts = await waitFor('the event', () => {
      const attempts = about('meeting.created', meeting.id);
      return attempts.some(({ status }) => status === 200) && attempts;
    });
    assert.deepEqual(attempts.map(({ status }) => status), [503, 503, 503, 200]);
    const ids = new Set();
    for (const { text, headers } of attempts) {
      assert.equal(headers['content-type'], 'application/webhook+json');
      const event = await receiver.receive(text, headers.authorization);
      assert.equal(event.event, 'meeting.created');
      ids.add(event.id);
    }
    assert.equal(ids.size, 1);
    assert.ok(!attempts[0].text.includes('Lung'), 'no title leaves the server');
  });

  it('are refused by the SDK when a byte of them was changed, or when the secret is another', async () => {
    const { text, headers } = received.at(-1);
    await assert.rejects(receiver.receive(text.replace('meeting.', 'heating.'), headers.authorization));
    const other = new WebhookReceiver(hook.id, 'another secret that is just as long as it must be');
    await assert.rejects(other.receive(text, headers.authorization));
    await assert.rejects(receiver.receive(text, undefined));
  });

  it('of a room tell who came and went, and name nobody', async () => {
    const room = newRoomName('webhooks');
    const member = await Member.join(room, 'ada', { name: 'Dr Ada Wombat', metadata: 'wombat' });
    const joined = await waitFor('participant_joined', () => about('participant_joined', room)[0]);
    await member.leave();
    const left = await waitFor('participant_left', () => about('participant_left', room)[0]);
    const started = about('room_started', room)[0];
    for (const { text } of [started, joined, left]) assert.ok(!/wombat/i.test(text), text);
    const events = await Promise.all(
      [started, joined, left].map(({ text, headers }) => receiver.receive(text, headers.authorization)),
    );
    assert.deepEqual(events.map(({ event }) => event), ['room_started', 'participant_joined', 'participant_left']);
    assert.ok(events.every((event) => event.room.name === room && event.id.startsWith('EV_')));
    assert.deepEqual(events.slice(1).map(({ participant }) => participant.identity), ['ada', 'ada']);
    assert.ok(events[1].participant.sid.startsWith('PA_') && Number(events[1].createdAt) > 1e9);
  });
});
