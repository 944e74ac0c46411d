import { expect, it } from 'vitest';
import { levelOf } from './level';

const tone = (amplitude: number) => Float32Array.from({ length: 1024 }, (_, i) => amplitude * Math.sin(i / 3));

it('is zero in silence, rises with loudness and never leaves the scale', () => {
  const levels = [0, 0.001, 0.01, 0.1, 0.5, 1, 4].map((amplitude) => levelOf(tone(amplitude)));
  expect(levels[0]).toBe(0);
  for (let i = 1; i < levels.length; i += 1) expect(levels[i]).toBeGreaterThanOrEqual(levels[i - 1] ?? 0);
  expect(levels.at(-1)).toBe(1);
  expect(levels[3]).toBeGreaterThan(0.25);
  expect(levelOf(new Float32Array(0))).toBe(0);
});
