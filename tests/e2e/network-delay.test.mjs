// Meetings over networks where packets come late, at different times, or not at all.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { behindALink, CLEAN } from './lib/behind.mjs';
import { closeAll } from './lib/chromium.mjs';
import { roundTripMs, watch } from './lib/quality.mjs';
import { findsNothing, until } from './lib/wait.mjs';

const meeting = behindALink();

test('who is far away is seen and heard, and the whole way is through the link', meeting.options, async (t) => {
  const oneWayMs = 50;
  await meeting.network.set({ delay_ms: oneWayMs });
  const { ben } = await meeting.two('far');
  const { value } = await until('the way has been measured', () => roundTripMs(ben), 10_000);
  t.diagnostic(`a round trip of ${value.toFixed(0)} ms`);
  assert.ok(value >= 2 * oneWayMs, `${value} ms there and back`);
});

/** Each way. */
const DELAY_MS = 150;
const FREEZE_MAX_MS = 500;
const WATCHED_MS = process.env.CI === undefined ? 60_000 : 30_000;
test('no picture freezes for more than 500 ms on a line with loss, delay and jitter', meeting.options, async (t) => {
  await findsNothing(t, async (attempt) => {
    const { anna, ben } = await meeting.two(`freezes-${attempt}`);
    await meeting.network.set({ loss: { random: 0.02 }, delay_ms: DELAY_MS, jitter_ms: 30 });
    // Until buffers have found the length that the line needs: what is asked for is how a meeting goes on.
    await watch(ben, ['anna/camera'], 5_000);
    const seen = await meeting.watchBoth(t, { anna, ben }, WATCHED_MS);
    await meeting.network.set(CLEAN);
    await closeAll(anna, ben);
    return ['anna/camera', 'ben/camera'].filter((track) => seen[track].fps < 15 || seen[track].freezeMs > FREEZE_MAX_MS);
  });
});
