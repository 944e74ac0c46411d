// Waiting for conditions, with a deadline and a measurement. Nothing here waits for time to pass.
import assert from 'node:assert/strict';

/** How often a condition is asked; it bounds the error of every measured time. */
const ASK_EVERY_MS = 40;

export async function until(what, condition, withinMs) {
  const start = performance.now();
  let last;
  for (;;) {
    last = await condition();
    const took = performance.now() - start;
    if (last) return { value: last, took };
    if (took > withinMs) assert.fail(`${what}: not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
}

/** Times that a measurement may be repeated on a machine that does other things too. */
const ATTEMPTS_MAX = 4;

/**
 * Asserts that something takes at most `allowedMs`: `attempt` does it once, from the start, and returns how long it took.
 * A busy machine may miss the limit by chance; what is too slow misses it every time.
 */
export async function takesAtMost(t, what, allowedMs, attempt) {
  const times = [];
  while (times.length < ATTEMPTS_MAX) {
    const took = await attempt(times.length);
    times.push(took);
    if (took <= allowedMs) break;
  }
  const list = times.map((time) => time.toFixed(0)).join(', ');
  t.diagnostic(`${what}: ${list} ms`);
  assert.ok(times.at(-1) <= allowedMs, `${what}: took ${list} ms, allowed ${allowedMs} ms`);
}
