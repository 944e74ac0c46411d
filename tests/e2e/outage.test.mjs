// What people see when the network or the server goes away under a meeting.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { closeAll, launchChromium, open } from './lib/chromium.mjs';
import { events, lasting, seen, sendMessages, sid, watch } from './lib/life.mjs';
import { endedWith, joined, keepsReceiving, seesAndHears, tileOf, timeUntil } from './lib/meeting.mjs';
import { PROXIED, startProxy } from './lib/proxy.mjs';
import { startServer } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

const OUTAGE_MS = 8_000;
const BACK_WITHIN_MS = 3_000;
/** Silence of a sender that counts as a loss, the second in which it is noticed, and the page's own time. */
const SEEN_WITHIN_MS = 6_500;

let browser;
before(async () => {
  browser = await launchChromium();
});
after(() => browser?.close());

for (const [mode, spc] of [['one peer connection', '1'], ['two peer connections', '0']]) {
  test(`with ${mode}, an outage of 8 s shows as reconnecting, and media is back 3 s after it`, async (t) => {
    const server = await startServer({ settings: PROXIED });
    const proxy = await startProxy(server);
    const anna = await open(browser, proxy.link('outage', 'anna', { spc }));
    const ben = await open(browser, server.link('outage', 'ben', { spc }));
    await Promise.all([seesAndHears(anna, ['ben'], 30_000), seesAndHears(ben, ['anna'], 30_000)]);
    await Promise.all([watch(anna), watch(ben)]);
    const before = await sid(anna);
    const lost = `${tileOf('anna')} [data-lost]`;
    const over = lasting(OUTAGE_MS);
    const shown = await timeUntil(ben, lost, 'visible', async () => proxy.silence(true));
    t.diagnostic(`"reconnecting" shows after ${shown.toFixed(0)} ms`);
    assert.ok(shown <= SEEN_WITHIN_MS);
    await Promise.all([sendMessages(anna, 1, 0), sendMessages(ben, 1, 0)]);
    await over;
    const back = performance.now();
    proxy.silence(false);
    await Promise.all([keepsReceiving(anna, ['ben']), keepsReceiving(ben, ['anna'])]);
    const took = performance.now() - back;
    t.diagnostic(`media both ways ${took.toFixed(0)} ms after the outage`);
    await ben.waitForSelector(lost, { state: 'hidden' });
    t.diagnostic(`"reconnecting" gone ${(performance.now() - back).toFixed(0)} ms after the outage`);
    for (const [page, from] of [[ben, 'anna'], [anna, 'ben']]) {
      await until('the message is there', async () => (await seen(page)).messages.length > 0, 20_000);
      t.diagnostic(`what ${from} said meanwhile arrived ${(performance.now() - back).toFixed(0)} ms after the outage`);
      assert.deepEqual((await seen(page)).messages, [`${from} message 0`]);
    }
    assert.equal(await sid(anna), before);
    assert.deepEqual((await events(ben, 'anna')).filter((what) => what.startsWith('participant')), []);
    t.diagnostic(`anna's own events: ${(await seen(anna)).events.map((event) => event.what).join(', ')}`);
    assert.ok(took <= BACK_WITHIN_MS);
    await closeAll(anna, ben);
    await proxy.close();
    await server.stop();
  });
}

test('a computer that falls asleep leaves the meeting, and is back in it when it wakes', async (t) => {
  const server = await startServer({ settings: PROXIED });
  const proxy = await startProxy(server);
  const anna = await open(browser, proxy.link('sleep', 'anna'));
  const ben = await open(browser, server.link('sleep', 'ben'));
  await Promise.all([seesAndHears(anna, ['ben'], 30_000), seesAndHears(ben, ['anna'], 30_000)]);
  // To the server, and to the others, a sleeping computer is one from which nothing comes.
  const left = await timeUntil(ben, tileOf('anna'), 'detached', async () => proxy.silence(true), 35_000);
  t.diagnostic(`asleep, it has left after ${left.toFixed(0)} ms`);
  const woken = performance.now();
  anna.openedAt = woken;
  proxy.silence(false);
  await Promise.all([seesAndHears(anna, ['ben'], 20_000), keepsSeeing(ben, woken)]);
  t.diagnostic(`awake, media both ways after ${(performance.now() - woken).toFixed(0)} ms`);
  await closeAll(anna, ben);
  await proxy.close();
  await server.stop();
});

function keepsSeeing(page, openedAt) {
  page.openedAt = openedAt;
  return seesAndHears(page, ['anna'], 20_000);
}

test('a server that is lost in the midst of a meeting says that the connection was lost', async (t) => {
  const lost = await startServer();
  const anna = await open(browser, lost.link('errors', 'anna'));
  const ben = await open(browser, lost.link('errors', 'ben'));
  await seesAndHears(ben, ['anna'], 30_000);
  const start = performance.now();
  await lost.kill();
  // First that it is being tried again, then, when that has no end, that it is over.
  await anna.getByText('Your connection was interrupted').first().waitFor({ timeout: 30_000 });
  t.diagnostic(`noticed after ${(performance.now() - start).toFixed(0)} ms`);
  await Promise.all([anna, ben].map((page) => endedWith(page, 'connection-lost', 120_000)));
  t.diagnostic(`given up after ${(performance.now() - start).toFixed(0)} ms`);
  assert.equal(await anna.locator('h1').innerText(), 'You lost connection to the meeting');
  await anna.getByRole('button', { name: 'Rejoin the meeting' }).waitFor();
  await closeAll(anna, ben);
});

test('a server that is shut down says that it is being tried again', async () => {
  const stopped = await startServer();
  const anna = await open(browser, stopped.link('errors', 'anna'));
  await joined(anna);
  await stopped.stop();
  await anna.getByText('Your connection was interrupted').first().waitFor({ timeout: 10_000 });
  await closeAll(anna);
});
