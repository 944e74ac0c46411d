// A connection that is cut for a moment: the participant stays the one it was, and the others hardly notice.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { closeAll, launchChromium, open } from './lib/chromium.mjs';
import { events, lasting, seen, sendFirstMessage, sendMessages, sid, watch } from './lib/life.mjs';
import { keepsReceiving, seesAndHears } from './lib/meeting.mjs';
import { PROXIED, startProxy } from './lib/proxy.mjs';
import { startServer } from './lib/server.mjs';
import { takesAtMost, until } from './lib/wait.mjs';

const CUT_MS = 3_000;
const GAP_MAX_MS = 200;
/** Longer than anybody healthy is silent. */
const LISTENED_MS = 16_000;
const MODES = { 'one peer connection': '1', 'two peer connections': '0' };

let browser, server, proxy;
before(async () => {
  server = await startServer({ settings: { ...PROXIED, 'rooms.simulate': true } });
  proxy = await startProxy(server);
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await proxy?.close();
  await server?.stop();
});

/** Anna, whose WebSocket and media go by way of the proxy; and Ben, whose WebSocket does not. */
async function two(room, spc) {
  const anna = await open(browser, proxy.link(room, 'anna', { spc }));
  const ben = await open(browser, server.link(room, 'ben', { spc }));
  await Promise.all([seesAndHears(anna, ['ben'], 30_000), seesAndHears(ben, ['anna'], 30_000)]);
  // After a resume, this SDK sends again only what follows a message that the server has.
  await Promise.all([sendFirstMessage(anna), sendFirstMessage(ben)]);
  await Promise.all([watch(anna), watch(ben)]);
  return [anna, ben];
}

const reconnected = (page, withinMs = 15_000) =>
  until('the page is connected again', async () => (await events(page)).includes('reconnected'), withinMs);

const said = (who, count) => Array.from({ length: count }, (_, n) => `${who} message ${n}`);

async function assertUndisturbed(t, anna, ben) {
  assert.deepEqual((await events(ben, 'anna')).filter((what) => what.startsWith('participant')), []);
  assert.deepEqual((await events(ben)).filter((what) => what !== 'localTrackPublished'), []);
  assert.ok(!(await events(anna, 'ben')).includes('quality lost'), 'whoever is not cut off is not called lost');
  t.diagnostic(`others heard of anna: ${(await events(ben, 'anna')).join(', ')}`);
}

for (const [mode, spc] of Object.entries(MODES)) {
  test(`with ${mode}, a WebSocket cut for 3 s costs nobody any media or message`, async (t) => {
    const [anna, ben] = await two(`cut-${spc}`, spc);
    const before = await sid(anna);
    await takesAtMost(t, 'longest gap of media', GAP_MAX_MS, async () => {
      await Promise.all([watch(anna), watch(ben)]);
      proxy.tcp.cut(true);
      const messages = Promise.all([sendMessages(anna, 20, CUT_MS), sendMessages(ben, 20, CUT_MS)]);
      await lasting(CUT_MS);
      proxy.tcp.cut(false);
      const back = performance.now();
      await reconnected(anna);
      t.diagnostic(`connected again ${(performance.now() - back).toFixed(0)} ms after the cut ended`);
      await messages;
      await Promise.all([keepsReceiving(anna, ['ben']), keepsReceiving(ben, ['anna'])]);
      assert.equal(await sid(anna), before);
      await assertUndisturbed(t, anna, ben);
      const gaps = [];
      for (const [page, other] of [[anna, 'ben'], [ben, 'anna']]) {
        await until('the messages are there', async () => (await seen(page)).messages.length >= 20, 5_000);
        const { messages: got, videoGapMs, concealedMs } = await seen(page);
        assert.deepEqual(got, said(other, 20));
        t.diagnostic(`from ${other}: pictures ${videoGapMs.toFixed(0)} ms, sound made up ${concealedMs.toFixed(0)} ms`);
        gaps.push(videoGapMs, concealedMs);
      }
      return Math.max(...gaps);
    });
    await closeAll(anna, ben);
  });

  test(`with ${mode}, media goes on when a NAT gives another address`, async (t) => {
    const [anna, ben] = await two(`nat-${spc}`, spc);
    const before = await sid(anna);
    const start = performance.now();
    proxy.udp.rebind();
    await Promise.all([keepsReceiving(anna, ['ben']), keepsReceiving(ben, ['anna'])]);
    t.diagnostic(`media both ways again after ${(performance.now() - start).toFixed(0)} ms`);
    await Promise.all([keepsReceiving(anna, ['ben']), keepsReceiving(ben, ['anna'])]);
    const gaps = await Promise.all([anna, ben].map(async (page) => (await seen(page)).videoGapMs.toFixed(0)));
    t.diagnostic(`longest gap of pictures: ${gaps.join(' and ')} ms`);
    assert.equal(await sid(anna), before);
    assert.deepEqual((await events(anna)).filter((what) => /reconnect/i.test(what)), []);
    await assertUndisturbed(t, anna, ben);
    await closeAll(anna, ben);
  });
}

test('messages said while nothing at all comes through for 3 s arrive once and in order', async (t) => {
  const [anna, ben] = await two('silence', '1');
  const before = await sid(anna);
  proxy.tcp.cut(true);
  proxy.udp.silence(true);
  const messages = Promise.all([sendMessages(anna, 20, CUT_MS), sendMessages(ben, 20, CUT_MS)]);
  await lasting(CUT_MS);
  proxy.tcp.cut(false);
  proxy.udp.silence(false);
  const back = performance.now();
  await messages;
  for (const page of [anna, ben]) {
    await until('the messages are there', async () => (await seen(page)).messages.length >= 20, 15_000);
    t.diagnostic(`all messages after ${(performance.now() - back).toFixed(0)} ms`);
  }
  await reconnected(anna);
  await Promise.all([keepsReceiving(anna, ['ben']), keepsReceiving(ben, ['anna'])]);
  assert.deepEqual((await seen(anna)).messages, said('ben', 20));
  assert.deepEqual((await seen(ben)).messages, said('anna', 20));
  assert.equal(await sid(anna), before);
  await assertUndisturbed(t, anna, ben);
  await closeAll(anna, ben);
});

test('somebody who sends nothing is not called lost', async (t) => {
  const ben = await open(browser, server.link('quiet', 'ben'));
  const olga = await open(browser, server.link('quiet', 'olga', {}, { canPublish: false }));
  await seesAndHears(olga, ['ben'], 30_000);
  await Promise.all([watch(ben), watch(olga)]);
  await olga.evaluate(() => window.__consilium.room.remoteParticipants.get('ben').trackPublications.forEach((one) => one.setSubscribed(false)));
  // Now nothing flows but checks of the connection.
  await lasting(LISTENED_MS);
  for (const page of [ben, olga]) {
    for (const who of ['ben', 'olga']) assert.ok(!(await events(page, who)).includes('quality lost'));
  }
  t.diagnostic(`told of olga: ${(await events(ben, 'olga')).join(', ') || 'nothing'}`);
  await closeAll(ben, olga);
});

test('a participant survives every fault that the SDK can ask for', async (t) => {
  const [anna, ben] = await two('faults', '1');
  // Where an attempt to resume fails halfway, the SDK may join anew instead of trying once more.
  const faults = {
    'signal-reconnect': 'same',
    'resume-reconnect': 'either',
    'disconnect-signal-on-resume': 'either',
    'disconnect-signal-on-resume-no-messages': 'either',
    migration: 'either',
    'full-reconnect': 'new',
    'node-failure': 'new',
    'leave-full-reconnect': 'new',
  };
  for (const [fault, participant] of Object.entries(faults)) {
    const before = await sid(anna);
    await watch(anna);
    const start = performance.now();
    await anna.evaluate((fault) => window.__consilium.room.simulateScenario(fault), fault);
    await reconnected(anna, 20_000);
    const took = performance.now() - start;
    await seesAndHearsAgain(anna, 'ben');
    await seesAndHearsAgain(ben, 'anna');
    t.diagnostic(`${fault}: connected again after ${took.toFixed(0)} ms, media both ways after ${(performance.now() - start).toFixed(0)} ms`);
    if (participant !== 'either') assert.equal((await sid(anna)) === before, participant === 'same', fault);
  }
  await anna.evaluate(() => window.__consilium.room.simulateScenario('server-leave'));
  await anna.waitForSelector('[data-failure="server-stopped"]');
  await closeAll(anna, ben);
});

function seesAndHearsAgain(page, other) {
  page.openedAt = performance.now();
  return seesAndHears(page, [other], 15_000);
}
