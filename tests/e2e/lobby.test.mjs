// Scheduled meetings with real links: who has to wait has no media, is announced to the host, and comes in when admitted; and what
// people read whom a link does not let in.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertAccessible } from './lib/axe.mjs';
import { assertNoErrors, closeAll, launchChromium, newPage, open } from './lib/chromium.mjs';
import { endedWith, joined, seesAndHears } from './lib/meeting.mjs';
import { startScheduling } from './lib/scheduled.mjs';
import { startServer } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

/** What the product promises for a knock; from the request of the guest's page to the host's page. */
const ANNOUNCED_WITHIN_MS = 1_000;

let server;
let browser;
let scheduling;
before(async () => {
  // Only links open meetings.
  [server, browser] = await Promise.all([startServer({ settings: { open_rooms: false } }), launchChromium()]);
  scheduling = await startScheduling(server);
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
  const meeting = await scheduling.schedule();
  const { invite, act } = meeting;
  const [chair, guest, stranger] = [await invite('Dr One', 'chair'), await invite('Dr Two', 'guest'), await invite('Dr Three', 'guest')];

  const host = await open(browser, chair.link);
  await joined(host);
  assert.equal(await host.locator('h1').innerText(), 'Lung MDT');
  assert.doesNotMatch(await host.title(), /Lung|mtg_/, 'browsers keep what pages are called');
  await host.getByText('others come with their own invitations').waitFor();
  assert.equal(await host.getByRole('button', { name: 'Copy meeting link' }).count(), 0, 'an invitation is for nobody else');
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

/** Tracks of camera and microphone that run in this page. */
function countRunning() {
  const tracks = [];
  window.__running = () => tracks.filter((track) => track.readyState === 'live').length;
  const original = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await original(wanted);
    tracks.push(...stream.getTracks());
    return stream;
  };
}

test('whoever is sent back to the lobby waits there by themselves and comes in again, and who is removed does not', async (t) => {
  const { invite, act } = await scheduling.schedule();
  const [chair, core] = [await invite('Dr One', 'chair'), await invite('Dr Two', 'core')];
  const host = await open(browser, chair.link);
  await joined(host);
  const page = await open(browser, core.link, { viewport: { width: 320, height: 640 }, init: countRunning });
  await seesAndHears(page, [chair.id], 20_000);

  const sentAt = performance.now();
  await act(core, 'to-lobby');
  await page.getByRole('heading', { name: 'The host has sent you back to the lobby' }).waitFor();
  t.diagnostic(`the page is in the lobby ${(performance.now() - sentAt).toFixed(0)} ms after the host's request`);
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1', 'the keyboard and screen readers start there');
  await until('camera and microphone are off', () => page.evaluate(() => window.__running() === 0), 5_000);
  await assertAccessible(page, 'sent back to the lobby');
  page.openedAt = performance.now();
  await act(core, 'admit');
  await seesAndHears(page, [chair.id], 20_000);
  await seesAndHears(host, [core.id], 20_000);
  assert.equal(await page.locator('h1').innerText(), 'Lung MDT');

  await act(core, 'to-lobby', { until: 'next_case' });
  await page.getByRole('heading', { name: 'Waiting for the next case' }).waitFor();
  await assertAccessible(page, 'waiting for the next case');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await endedWith(page, 'left');
  await page.getByRole('button', { name: 'Rejoin the meeting' }).click();
  await page.getByRole('heading', { name: 'Waiting for the host to let you in' }).waitFor();
  await act(core, 'admit');
  await joined(page);
  assertNoErrors(host);

  await act(core, 'remove');
  await endedWith(page, 'removed');
  assert.equal(await page.getByRole('button', { name: 'Try again' }).count(), 0);
  await closeAll(host, page);
});

/** A page that nobody looks at: its timers run once a minute. */
function slowTimers() {
  const original = window.setTimeout;
  window.setTimeout = (action, ms = 0, ...given) => original(action, ms < 1_000 ? ms : ms + 60_000, ...given);
}

test('whoever waits behind another window is let in as soon as a host does', async (t) => {
  const { invite, act } = await scheduling.schedule();
  const guest = await invite('Dr Two', 'guest');
  const page = await open(browser, guest.link, { init: slowTimers });
  const listens = page.waitForResponse((answer) => answer.url().endsWith('/api/v1/lobby/events'));
  await page.getByRole('heading', { name: 'Waiting for the host to let you in' }).waitFor();
  assert.equal((await listens).status(), 200);
  const admittedAt = performance.now();
  await act(guest, 'admit');
  await joined(page);
  t.diagnostic(`in the room ${(performance.now() - admittedAt).toFixed(0)} ms after the host's request`);
  assertNoErrors(page);
  await closeAll(page);
});

test('whoever waits when the meeting is ended reads that it has ended', async () => {
  const { invite, end } = await scheduling.schedule();
  const page = await open(browser, (await invite('Dr Two', 'guest')).link);
  await page.getByRole('heading', { name: 'Waiting for the host to let you in' }).waitFor();
  await assertAccessible(page, 'waiting');
  await end();
  await endedWith(page, 'room-ended');
  await closeAll(page);
});

test('whoever opens their link signed in comes as who they are', async () => {
  const password = await server.account('ann', 'Dr Ann Known');
  const { id, invite } = await scheduling.schedule();
  const { link } = await invite('Ann', 'core');
  const page = await newPage(browser);
  await page.goto(`${server.origin}/`);
  const status = await page.evaluate(async (password) => {
    const headers = { 'content-type': 'application/json', 'consilium-request': '1' };
    const answer = await fetch('/api/v1/session', { method: 'POST', headers, body: JSON.stringify({ login: 'ann', password }) });
    return answer.status;
  }, password);
  assert.equal(status, 200);
  await page.goto(link);
  await joined(page);
  const [seen] = await server.rooms.listParticipants(id);
  assert.deepEqual([seen.name, seen.attributes.verified], ['Dr Ann Known', 'true']);
  await closeAll(page);
});

test('a link that opens nothing says why, and what one can do', async () => {
  const [now, later, past, over] = [
    await scheduling.schedule(),
    await scheduling.schedule({ inHours: 5 }),
    await scheduling.schedule({ inHours: -8 }),
    await scheduling.schedule(),
  ];
  const expiresAt = Math.floor(Date.now() / 1_000 + 2) * 1_000;
  const expired = await now.invite('Dr Two', 'core', { link_expires_at: new Date(expiresAt).toISOString() });
  const revoked = await now.invite('Dr Two', 'core');
  await scheduling.revoke(revoked);
  await over.end();
  await until('the link has expired', () => Date.now() > expiresAt, 5_000);
  const bare = `${server.origin}/m/${now.id}`;
  for (const [what, link, failure, title, advice] of [
    ['expired', expired.link, 'token-expired', 'Your link has expired', /Ask the person who invited you/],
    ['revoked', revoked.link, 'token-invalid', 'Your link is not valid', /withdrawn/],
    ['not open', (await later.invite('Dr Two', 'core')).link, 'not-open', 'This meeting is not open yet', /half an hour before it starts/],
    ['past', (await past.invite('Dr Two', 'core')).link, 'room-ended', 'The meeting has ended', /same link/],
    ['ended', (await over.invite('Dr Two', 'core')).link, 'room-ended', 'The meeting has ended', /same link/],
    ['without the invitation', bare, 'token-missing', 'You need your own link for this meeting', /ask the host/],
    ['half a link', `${bare}#${expired.secret.slice(0, -9)}`, 'token-invalid', 'Your link is not valid', /Copy the whole link/],
  ]) {
    const page = await open(browser, link, { viewport: { width: 320, height: 640 } });
    await endedWith(page, failure);
    assert.equal(await page.locator('h1').innerText(), title, what);
    assert.match(await page.locator('main').innerText(), advice, what);
    assert.doesNotMatch(await page.locator('body').innerText(), /mtg_|inv_/, what);
    await assertAccessible(page, what);
    await closeAll(page);
  }
});

test('a sign-in that failed says why', async () => {
  const page = await open(browser, `${server.origin}/sign-in?problem=expired`);
  await page.getByRole('heading', { name: 'Signing in took too long' }).waitFor();
  await assertAccessible(page, 'a failed sign-in');
  assertNoErrors(page);
  await closeAll(page);
});
