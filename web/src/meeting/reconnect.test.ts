import { expect, it } from 'vitest';
import { Patience } from './reconnect';

const delays = (random: number) => {
  const policy = new Patience(() => random);
  const list: number[] = [];
  for (let retryCount = 0; ; retryCount += 1) {
    const delay = policy.nextRetryDelayInMs({ retryCount, elapsedMs: 1e9 });
    if (delay === null) return list;
    list.push(delay);
  }
};

it('tries at once, then ever more slowly, and never pauses long enough to miss a network that is back', () => {
  const pauses = delays(0.5);
  expect(pauses[1]).toBe(250);
  expect(Math.max(...delays(1))).toBeLessThan(2_500);
  expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
});

it('gives up after three quarters of a minute of refusals, however long the computer slept', () => {
  const sum = (list: number[]) => list.reduce((total, delay) => total + delay, 0);
  expect(sum(delays(0.5))).toBeGreaterThan(35_000);
  expect(sum(delays(0.5))).toBeLessThan(50_000);
});

it('spreads people who were cut off together', () => {
  expect(delays(0)[3]).not.toBe(delays(0.9)[3]);
});
