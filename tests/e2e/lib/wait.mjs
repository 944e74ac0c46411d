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

/** Runs `action`, then waits; the time counts from before the action. */
export async function after(what, action, condition, withinMs) {
  const start = performance.now();
  await action();
  await until(what, condition, withinMs);
  const took = performance.now() - start;
  assert.ok(took <= withinMs, `${what}: took ${took.toFixed(0)} ms, allowed ${withinMs} ms`);
  return took;
}
