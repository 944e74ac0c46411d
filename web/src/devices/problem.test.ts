import { expect, it } from 'vitest';
import { en } from '../i18n/en';
import { classify } from './problem';

const fine = { secure: true, capture: true };

it.each([
  ['NotFoundError', 'not-found'],
  ['OverconstrainedError', 'not-found'],
  ['NotAllowedError', 'blocked'],
  ['SecurityError', 'blocked'],
  ['NotReadableError', 'busy'],
  ['AbortError', 'busy'],
  ['TypeError', 'other'],
])('%s means %s', (name, problem) => {
  expect(classify(new DOMException('', name), fine)).toBe(problem);
});

it('blames the page before the device', () => {
  expect(classify(new TypeError(), { secure: false, capture: false })).toBe('insecure');
  expect(classify(new TypeError(), { secure: true, capture: false })).toBe('unsupported');
});

it('does not choke on what is not an error', () => {
  for (const thrown of [undefined, null, 'NotFoundError', 7]) expect(classify(thrown, fine)).toBe('other');
});

it('tells people what to do about each problem', () => {
  for (const device of ['camera', 'microphone']) {
    for (const problem of ['not-found', 'blocked', 'busy', 'insecure', 'unsupported', 'other']) {
      expect(en).toHaveProperty([`problem.${device}.${problem}`]);
      expect(en).toHaveProperty([`problem.${device}.${problem}.fix`]);
    }
  }
});
