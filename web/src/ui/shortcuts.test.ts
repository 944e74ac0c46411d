import { expect, it } from 'vitest';
import { shortcutOf } from './shortcuts';

const plain = { key: 'm', ctrlKey: false, altKey: false, metaKey: false, repeat: false, typing: false };

it('acts on its letters in either case', () => {
  expect(shortcutOf(plain)).toBe('microphone');
  expect(shortcutOf({ ...plain, key: 'V' })).toBe('camera');
  expect(shortcutOf({ ...plain, key: 's' })).toBe('share');
  expect(shortcutOf({ ...plain, key: 'p' })).toBe('people');
});

it('leaves typing, held keys and the shortcuts of the browser alone', () => {
  for (const change of [{ typing: true }, { repeat: true }, { ctrlKey: true }, { altKey: true }, { metaKey: true }, { key: 'x' }, { key: 'Enter' }]) {
    expect(shortcutOf({ ...plain, ...change })).toBeUndefined();
  }
});
