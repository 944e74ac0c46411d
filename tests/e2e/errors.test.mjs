// What people read when something is wrong: in plain English, with what to do, and never an empty page.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertNoErrors, closeAll, launchChromium, newPage, open } from './lib/chromium.mjs';
import { endedWith, joined, seesAndHears, tileOf } from './lib/meeting.mjs';
import { startServer } from './lib/server.mjs';
import { joinClaims, sign } from './lib/token.mjs';

let server;
let browser;
before(async () => {
  [server, browser] = await Promise.all([startServer(), launchChromium()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const seconds = () => Math.floor(Date.now() / 1000);
const linkWith = (token) => `${server.origin}/m/errors?autojoin=1&video=low#${token}`;
const claims = () => joinClaims('errors', 'anna');

const REFUSED = [
  ['an expired link', () => sign({ ...claims(), nbf: seconds() - 7_200, exp: seconds() - 3_600 }, server.credentials), 'token-expired', 'Your link has expired'],
  ['a link for later', () => sign({ ...claims(), nbf: seconds() + 3_600, exp: seconds() + 7_200 }, server.credentials), 'token-early', 'Your link does not work yet'],
  ['a forged link', () => sign(claims(), { ...server.credentials, secret: 'x'.repeat(32) }), 'token-invalid', 'Your link is not valid'],
  ['a link of another server', () => sign(claims(), { ...server.credentials, key: 'other' }), 'token-invalid', 'Your link is not valid'],
  ['a link without the grant to join', () => sign({ sub: 'anna', video: { room: 'errors' } }, server.credentials), 'token-invalid', 'Your link is not valid'],
  ['half a link', () => sign(claims(), server.credentials).slice(0, 60), 'token-invalid', 'Your link is not valid'],
];

for (const [what, token, failure, title] of REFUSED) {
  test(`${what} says "${title}"`, async () => {
    // The name in the address lets the page join by itself even where the token has no readable name.
    const page = await open(browser, linkWith(token()).replace('?', '?name=Anna&'));
    await endedWith(page, failure);
    assert.equal(await page.locator('h1').innerText(), title);
    await closeAll(page);
  });
}

test('a full room says so and lets people try again', async () => {
  await server.rooms.createRoom({ name: 'small', maxParticipants: 1 });
  const anna = await open(browser, server.link('small', 'anna'));
  await joined(anna);
  const ben = await open(browser, server.link('small', 'ben'));
  await endedWith(ben, 'room-full');
  assert.equal(await ben.locator('h1').innerText(), 'This meeting is full');
  await anna.getByRole('button', { name: 'Leave', exact: true }).click();
  await endedWith(anna, 'left');
  await ben.getByRole('button', { name: 'Try again' }).click();
  await joined(ben);
  await closeAll(anna, ben);
});

test('a room code without an invitation says so where rooms are not open', async () => {
  const closed = await startServer({ settings: { open_rooms: false } });
  try {
    const page = await open(browser, `${closed.origin}/m/errors?autojoin=1&name=Anna&video=low`);
    await endedWith(page, 'token-missing');
    assert.match(await page.locator('main').innerText(), /personal link/);
    await closeAll(page);
  } finally {
    await closed.stop();
  }
});

test('a server that is gone says that the meeting could not be reached', async () => {
  const gone = await startServer();
  const page = await newPage(browser);
  await page.goto(`${gone.origin}/m/errors?video=low#${gone.token('errors', 'anna')}`);
  await gone.stop();
  await page.getByRole('button', { name: 'Join meeting' }).click();
  await endedWith(page, 'no-connection', 30_000);
  await closeAll(page);
});

test('a browser without video calls says so', async () => {
  const init = () => {
    delete window.RTCPeerConnection;
    delete window.webkitRTCPeerConnection;
  };
  const page = await open(browser, server.link('errors', 'anna'), { init });
  await endedWith(page, 'unsupported');
  assert.equal(await page.locator('h1').innerText(), 'This browser cannot join meetings');
  assert.equal(await page.getByRole('button', { name: 'Try again' }).count(), 0);
  await closeAll(page);
});

test('a blocked camera and microphone say how to allow them, and one can join without', async () => {
  const bare = await launchChromium({ devices: 'asked' });
  try {
    const page = await newPage(bare);
    const session = await page.context().newCDPSession(page);
    for (const name of ['camera', 'microphone']) {
      await session.send('Browser.setPermission', { permission: { name }, setting: 'denied', origin: server.origin });
    }
    await page.goto(`${server.origin}/m/blocked?video=low&debug=1#${server.token('blocked', 'anna')}`);
    await page.getByText('Your browser is blocking the microphone').waitFor();
    await page.getByText('Your browser is blocking the camera').waitFor();
    assert.match(await page.locator('.problem').first().innerText(), /choose ‘Allow’/);
    await joinsAnyway(page, 'blocked');
  } finally {
    await bare.close();
  }
});

test('a computer without camera and microphone says so, and one can join without', async () => {
  const bare = await launchChromium({ devices: 'none' });
  try {
    const page = await newPage(bare);
    await page.context().grantPermissions(['camera', 'microphone'], { origin: server.origin });
    await page.goto(`${server.origin}/m/bare?video=low&debug=1#${server.token('bare', 'anna')}`);
    await page.getByText('No microphone was found').waitFor();
    await page.getByText('No camera was found').waitFor();
    await joinsAnyway(page, 'bare');
  } finally {
    await bare.close();
  }
});

async function joinsAnyway(page, room) {
  await page.getByRole('button', { name: 'Join meeting' }).click();
  await joined(page);
  const ben = await open(browser, server.link(room, 'ben'));
  page.openedAt = performance.now();
  await seesAndHears(page, ['ben'], 30_000);
  await ben.waitForSelector(`${tileOf('anna')} .tile__initials`);
  assertNoErrors(page, ben);
  await closeAll(ben);
}

test('an invitation is taken out of the address and is not offered to be copied', async () => {
  const page = await open(browser, server.link('secret', 'anna'));
  await joined(page);
  const token = server.token('secret', 'anna').split('.')[0];
  assert.ok(!page.url().includes(token) && !page.url().includes('#'), 'no fragment is left');
  assert.equal(await page.evaluate(() => history.length < 3 && !location.href.includes('#')), true);
  await page.getByText('Your link is for you alone').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Copy meeting link' }).count(), 0);
  await closeAll(page);
});

test('the address of a room that anybody may enter can be copied', async () => {
  const page = await newPage(browser);
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: server.origin });
  await page.goto(`${server.origin}/m/anybody?autojoin=1&name=Anna&video=low`);
  await joined(page);
  await page.getByRole('button', { name: 'Copy meeting link' }).click();
  await page.getByText('Link copied').waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${server.origin}/m/anybody`);
  await closeAll(page);
});

test('an address that is no room is not an empty page', async () => {
  const page = await open(browser, `${server.origin}/nowhere/at/all`);
  await page.getByRole('heading', { name: 'Page not found' }).waitFor();
  assertNoErrors(page);
  await closeAll(page);
});
