// A scheduled meeting with real links: who has to wait has no media, is announced to the host, and comes in when admitted.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertNoErrors, closeAll, launchChromium, open } from './lib/chromium.mjs';
import { endedWith, joined, seesAndHears } from './lib/meeting.mjs';
import { startServer } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

/** What the product promises for a knock; from the request of the guest's page to the host's page. */
const ANNOUNCED_WITHIN_MS = 1_000;

let server;
let browser;
before(async () => {
  // Only links open meetings.
  [server, browser] = await Promise.all([startServer({ settings: { open_rooms: false } }), launchChromium()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Counts what a page does to send or receive media. */
function countConnections() {
  window.__connections = 0;
  const Original = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(...given) {
      super(...given);
      window.__connections += 1;
    }
  };
}

test('a guest waits without media until the host lets them in, and hears why if not', async (t) => {
  const api = await server.api('meetings:write');
  const done = async (status, ...request) => {
    const [got, body] = await api(...request);
    assert.equal(got, status, JSON.stringify(body));
    return body;
  };
  const start = new Date().toISOString().slice(0, 19);
  const meeting = await done(201, 'POST', 'meetings', { title: 'Lung MDT', start, time_zone: 'UTC', duration_minutes: 60, lobby: 'guests' });
  const invite = async (name, role) => {
    const { id, link_secret } = await done(201, 'POST', `meetings/${meeting.id}/invitations`, { name, role });
    return { id, link: `${server.origin}/m/${meeting.id}?autojoin=1&debug=1&video=low#${link_secret}` };
  };
  const [chair, guest, stranger] = [await invite('Dr One', 'chair'), await invite('Dr Two', 'guest'), await invite('Dr Three', 'guest')];
  const act = (invitation, action, body) => done(204, 'POST', `meetings/${meeting.id}/participants/${invitation.id}/${action}`, body);

  const host = await open(browser, chair.link);
  await joined(host);
  await host.evaluate(() => {
    window.__told = [];
    window.__consilium.room.on('dataReceived', (payload, from, kind, topic) => {
      if (topic === 'consilium.event' && from === undefined) window.__told.push({ ...JSON.parse(new TextDecoder().decode(payload)), heardAt: Date.now() });
    });
  });

  const waiting = await open(browser, guest.link, { init: countConnections });
  const answered = waiting.waitForResponse((answer) => answer.url().endsWith('/api/v1/join/invitation'));
  await waiting.getByText('Waiting for the host to let you in').waitFor();
  const knockedAt = (await answered).request().timing().startTime;
  const knocked = () => host.evaluate((id) => window.__told.find((one) => one.kind === 'lobby.knocked' && one.body.invitation === id)?.heardAt, guest.id);
  await until('the host is told', async () => (await knocked()) !== undefined, ANNOUNCED_WITHIN_MS);
  const took = (await knocked()) - knockedAt;
  t.diagnostic(`the host was told ${took.toFixed(0)} ms after the knock`);
  assert.ok(took < ANNOUNCED_WITHIN_MS, `${took} ms`);
  assert.equal(await waiting.evaluate(() => window.__connections), 0, 'who waits has no connection');
  assert.equal((await server.rooms.listParticipants(meeting.id)).length, 1);

  waiting.openedAt = performance.now();
  await act(guest, 'admit');
  await seesAndHears(waiting, [chair.id], 20_000);
  await seesAndHears(host, [guest.id], 20_000);
  t.diagnostic(`media both ways ${(performance.now() - waiting.openedAt).toFixed(0)} ms after being admitted`);

  const refused = await open(browser, stranger.link, { init: countConnections });
  await refused.getByText('Waiting for the host to let you in').waitFor();
  await act(stranger, 'deny', { message: 'Please ring the ward.' });
  await endedWith(refused, 'denied');
  assert.ok((await refused.innerText('body')).includes('The host says: Please ring the ward.'));
  assert.equal(await refused.evaluate(() => window.__connections), 0, 'who was refused had no connection');

  // The client library complains of a removal on the console.
  assertNoErrors(host, waiting);
  await act(guest, 'remove', { ban: true });
  await endedWith(waiting, 'removed');
  const again = await open(browser, guest.link);
  await endedWith(again, 'removed');
  assertNoErrors(host);
  await closeAll(host, waiting, refused, again);
});
