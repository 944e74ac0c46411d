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

/** A second attempt, for a machine that was just then busy with something else; a third would only hide what is slow. */
const ATTEMPTS_MAX = 2;

/**
 * Asserts that something takes at most `allowedMs`: `attempt` does it once, from the start, and returns how long it took.
 * Each attempt's time is reported as it ends, so that one which was repeated, or never ended, is seen too.
 */
export async function takesAtMost(t, what, allowedMs, attempt) {
  const times = [];
  while (times.length < ATTEMPTS_MAX) {
    const took = await attempt(times.length);
    times.push(took);
    const verdict = took <= allowedMs ? 'within' : 'OVER';
    t.diagnostic(`${what}: attempt ${times.length} of at most ${ATTEMPTS_MAX}: ${took.toFixed(0)} ms, ${verdict} ${allowedMs} ms`);
    if (took <= allowedMs) return;
  }
  const list = times.map((time) => time.toFixed(0)).join(', ');
  assert.fail(`${what}: took ${list} ms, allowed ${allowedMs} ms`);
}

/**
 * Asserts that `attempt` finds nothing wrong: it does everything once, from the start, and returns what it found. What an
 * attempt that is repeated found is reported.
 */
export async function findsNothing(t, attempt) {
  const found = [];
  while (found.length < ATTEMPTS_MAX) {
    const wrong = await attempt(found.length);
    if (wrong.length === 0) return;
    found.push(wrong.join(', '));
    t.diagnostic(`attempt ${found.length} of at most ${ATTEMPTS_MAX}: ${found.at(-1)}`);
  }
  assert.fail(found.join('; then '));
}
