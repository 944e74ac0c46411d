import { CryptorError, CryptorErrorReason } from 'livekit-client';
import { expect, it, vi } from 'vitest';

vi.mock('livekit-client/e2ee-worker?worker', () => ({ default: vi.fn() }));
const { Failures, partFragment } = await import('./encryption');

it('parts the key from the invitation', () => {
  expect(partFragment('#a.b.c&e2ee=secret')).toEqual({ invitation: 'a.b.c', key: 'secret' });
  expect(partFragment('#e2ee=secret&a.b.c')).toEqual({ invitation: 'a.b.c', key: 'secret' });
});

it('takes a key without an invitation, for rooms that are open', () => {
  expect(partFragment('#e2ee=secret')).toEqual({ invitation: '', key: 'secret' });
});

it('keeps an invitation as it is, damaged or not', () => {
  for (const invitation of ['', 'a.b.c', 'a.eyJ=.c', 'x&y']) {
    expect(partFragment(`#${invitation}`)).toEqual({ invitation, key: undefined });
  }
});

it('reads a key of any letters, and one with a stray percent sign', () => {
  expect(partFragment(`#e2ee=${encodeURIComponent('läng & 100%')}`).key).toBe('läng & 100%');
  expect(partFragment('#e2ee=100%').key).toBe('100%');
  expect(partFragment('#a.b.c&e2ee=').key).toBeUndefined();
});

it('takes frames that fail one after the other for a wrong key, and a single one for an accident', () => {
  const failures = new Failures();
  const wrong = new CryptorError('', CryptorErrorReason.InvalidKey, 'anna');
  expect([0, 100, 200].map((at) => failures.note(wrong, undefined, at))).toEqual([undefined, undefined, 'anna']);
  expect([0, 6_000, 12_000, 18_000].map((at) => failures.note(wrong, 'ben', at))).toEqual([undefined, undefined, undefined, undefined]);
  const missing = new CryptorError('', CryptorErrorReason.MissingKey, 'carol');
  expect([0, 1, 2, 3].map((at) => failures.note(missing, undefined, at)).every((whose) => whose === undefined)).toBe(true);
});
