// A meeting goes on while strangers throw datagrams at its port, and while one of its own floods it with data.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertNoErrors, closeAll, launchChromium, open } from './lib/chromium.mjs';
import { sendGarbage } from './lib/garbage.mjs';
import { keepsReceiving, received, seesAndHears, tileOf, timeUntil } from './lib/meeting.mjs';
import { startServer } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

const DATAGRAMS = 100_000;
const SEED = 20_200_323;
/** The kernel may drop part of a flood before the server reads it; most must arrive, or the test shows nothing. */
const COUNTED_MIN = 50_000;

let server;
let browser;
before(async () => {
  [server, browser] = await Promise.all([startServer(), launchChromium()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test('100,000 random, truncated and forged datagrams do not disturb a meeting, and are counted', async (t) => {
  const anna = await open(browser, server.link('abuse', 'anna'));
  const ben = await open(browser, server.link('abuse', 'ben'));
  await Promise.all([seesAndHears(anna, ['ben'], 30_000), seesAndHears(ben, ['anna'], 15_000)]);
  const dropped = await server.metric('consilium_packets_dropped_total');
  const peers = await server.metric('consilium_media_peers');
  const start = await received(ben);

  const flood = sendGarbage(server.media, DATAGRAMS, SEED);
  // Pictures and sound keep coming during the flood, again and again.
  let flooding = true;
  void flood.finally(() => {
    flooding = false;
  });
  let rounds = 0;
  do {
    await Promise.all([keepsReceiving(anna, ['ben']), keepsReceiving(ben, ['anna'])]);
    rounds += 1;
  } while (flooding);
  await flood;

  await Promise.all([keepsReceiving(anna, ['ben']), keepsReceiving(ben, ['anna'])]);
  const counted = (await server.metric('consilium_packets_dropped_total')) - dropped;
  assert.ok(counted >= COUNTED_MIN, `only ${counted} of ${DATAGRAMS} drops were counted`);
  assert.equal(await server.metric('consilium_media_peers'), peers, 'no peer appeared or vanished');
  assert.ok(server.isRunning());
  const end = await received(ben);
  t.diagnostic(`${counted} drops counted, ${rounds} rounds, ${end.anna.frames - start.anna.frames} frames decoded meanwhile`);
  assertNoErrors(anna, ben);
  await closeAll(anna, ben);
});

/** Sends messages as fast as the library takes them, for so long. Returns how many. */
const flood = (page, reliable, forMs) =>
  page.evaluate(
    async ({ reliable, forMs }) => {
      const { localParticipant } = window.__consilium.room;
      const payload = new Uint8Array(100).fill(7);
      const end = performance.now() + forMs;
      let sent = 0;
      while (performance.now() < end) {
        const batch = Array.from({ length: 200 }, () => localParticipant.publishData(payload, { reliable, topic: 'flood' }));
        const results = await Promise.allSettled(batch);
        sent += results.filter((result) => result.status === 'fulfilled').length;
        if (results.every((result) => result.status === 'rejected')) break;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return sent;
    },
    { reliable, forMs },
  );

const FLOOD_MS = 8_000;

test('a participant who floods with data disturbs neither its own meeting nor another', async (t) => {
  // The flooder shows and says nothing: what is measured is its data.
  const anna = await open(browser, server.link('flood', 'anna', {}, { canPublish: false, canPublishData: true }));
  const [ben, eva, cara, dora] = await Promise.all(
    [['flood', 'ben'], ['flood', 'eva'], ['calm', 'cara'], ['calm', 'dora']].map(([room, name]) => open(browser, server.link(room, name))),
  );
  const witnesses = [[ben, ['eva']], [eva, ['ben']], [cara, ['dora']], [dora, ['cara']]];
  await Promise.all(witnesses.map(([page, others]) => seesAndHears(page, others, 40_000)));
  await until('anna is in', () => anna.evaluate(() => window.__consilium.room?.remoteParticipants.size === 2), 20_000);
  await Promise.all(
    [ben, dora].map((page) =>
      page.evaluate(() => {
        window.__heard = [];
        window.__consilium.room.on('dataReceived', (payload, _who, _kind, topic) => {
          if (topic === 'calm') window.__heard.push(payload[0]);
        });
      }),
    ),
  );
  let number = 0;
  /** A reliable message in each meeting arrives, and so do pictures and sound. */
  const goesOn = async () => {
    number += 1;
    const say = (page) =>
      page.evaluate((n) => window.__consilium.room.localParticipant.publishData(new Uint8Array([n]), { reliable: true, topic: 'calm' }), number);
    await Promise.all([eva, cara].map(say));
    await Promise.all([
      ...witnesses.map(([page, others]) => keepsReceiving(page, others)),
      ...[ben, dora].map((page) => until('the message arrives', () => page.evaluate((n) => window.__heard.at(-1) === n, number), 5_000)),
    ]);
  };
  const during = async (flooding) => {
    let over = false;
    const end = flooding.finally(() => {
      over = true;
    });
    do await goesOn();
    while (!over);
    return end;
  };
  const dropped = () => server.metric('consilium_packets_dropped_total', { reason: 'data_rate' });

  const lossy = await during(flood(anna, false, FLOOD_MS));
  assert.ok((await dropped()) > lossy / 4, `${await dropped()} of ${lossy} lossy messages were dropped`);
  assert.equal(await server.metric('consilium_sessions_ended_total', { reason: 'data_flood' }), 0);
  t.diagnostic(`${lossy} lossy messages, ${await dropped()} dropped, ${number} rounds`);

  const gone = timeUntil(anna, '[data-failure]', 'visible');
  const reliable = await during(flood(anna, true, FLOOD_MS));
  await gone;
  assert.equal(await server.metric('consilium_sessions_ended_total', { reason: 'data_flood' }), 1);
  await ben.waitForSelector(tileOf('anna'), { state: 'detached', timeout: 5_000 });
  await goesOn();
  t.diagnostic(`${reliable} reliable messages, ${number} rounds`);
  assertNoErrors(ben, eva, cara, dora);
  await closeAll(anna, ben, eva, cara, dora);
});
