import { expect, it } from 'vitest';
import { initialsOf, toneOf, TONES } from './person';

it.each([
  ['Amina Shah', 'AS'],
  ['Dr Amina Shah, Radiology', 'AS'],
  ['Prof. Jean-Luc Brown', 'JB'],
  ['siân ŵyn', 'SŴ'],
  ['Dr', 'D'],
  ['guest-7f3k', 'G7'],
  ['', '?'],
  ['(…)', '?'],
])('%s -> %s', (name, initials) => {
  expect(initialsOf(name)).toBe(initials);
});

it('gives everybody one of the known tones', () => {
  const tones = new Set(Array.from({ length: 200 }, (_, i) => toneOf(`guest-${i}`)));
  expect([...tones].every((tone) => Number.isInteger(tone) && tone >= 0 && tone < TONES)).toBe(true);
  expect(tones.size).toBe(TONES);
});
