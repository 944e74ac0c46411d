// Meetings over networks that lose packets, now and then or all for a while.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { behindALink, CLEAN } from './lib/behind.mjs';
import { closeAll } from './lib/chromium.mjs';
import { keepsReceiving, tileOf } from './lib/meeting.mjs';
import { findsNothing, until } from './lib/wait.mjs';

const meeting = behindALink();

test('ten percent random loss both ways leave sound whole and pictures moving', meeting.options, async (t) => {
  await findsNothing(t, async (attempt) => {
    const { anna, ben } = await meeting.two(`loss-${attempt}`);
    await meeting.network.set({ loss: { random: 0.1 } });
    const seen = await meeting.watchBoth(t, { anna, ben }, 15_000);
    await meeting.network.set(CLEAN);
    await closeAll(anna, ben);
    return [
      ...['anna/camera', 'ben/camera'].filter((track) => seen[track].fps < 15),
      ...['anna/microphone', 'ben/microphone'].filter((track) => seen[track].concealed >= 0.03),
    ];
  });
});

const BACK_WITHIN_MS = 3_000;
test('after eight seconds without a network everything goes on as the same participant, and the others know meanwhile', meeting.options, async (t) => {
  const { anna, ben } = await meeting.two('outage');
  const sidOf = (page) => page.evaluate(() => window.__consilium.room.localParticipant.sid);
  const sid = await sidOf(ben);
  let left = false;
  await anna.exposeFunction('participantLeft', () => {
    left = true;
  });
  await anna.evaluate(() => window.__consilium.room.on('participantDisconnected', () => window.participantLeft()));
  const start = performance.now();
  await meeting.network.outage(8_000);
  const told = anna.locator(tileOf('ben')).getByText('Reconnecting');
  const known = await told.waitFor({ timeout: 8_000 }).then(
    () => performance.now() - start,
    () => undefined,
  );
  t.diagnostic(`anna knows after ${known?.toFixed(0)} ms`);
  // What arrives before the end of the outage was buffered, and is no sign of a return.
  await until('the outage is over', () => performance.now() - start >= 8_000, 10_000);
  await Promise.all([keepsReceiving(anna, ['ben'], 40_000), keepsReceiving(ben, ['anna'], 40_000)]);
  const back = performance.now() - start - 8_000;
  t.diagnostic(`media is back ${back.toFixed(0)} ms after the network; left: ${left}; ${sid} is now ${await sidOf(ben)}`);
  assert.equal(await sidOf(ben), sid);
  assert.ok(!left, 'anna was told that ben left');
  assert.ok(known !== undefined, 'anna was not told that ben reconnects');
  await told.waitFor({ state: 'detached', timeout: 10_000 });
  assert.ok(back < BACK_WITHIN_MS, `media came back after ${back} ms`);
});
