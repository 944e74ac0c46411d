import { expect, it } from 'vitest';
import { parseOptions } from './options';

it('leaves everything at its default without options', () => {
  expect(parseOptions('')).toEqual({
    autojoin: false,
    name: undefined,
    video: 'hd',
    codec: undefined,
    singlePeerConnection: undefined,
    debug: false,
    signInProblem: 'failed',
  });
});

it('reads each option', () => {
  expect(parseOptions('?autojoin=1&name=%20Dr%20Shah%20&video=low&codec=av1&spc=0&debug=1')).toEqual({
    autojoin: true,
    name: 'Dr Shah',
    video: 'low',
    codec: 'av1',
    singlePeerConnection: false,
    debug: true,
    signInProblem: 'failed',
  });
});

it('ignores values that it does not know', () => {
  const options = parseOptions('?autojoin=yes&codec=h263&spc=2&video=8k&debug=true&name=');
  expect(options).toEqual(parseOptions(''));
});

it('knows the problems of signing in, and takes another for none in particular', () => {
  expect(parseOptions('?problem=expired').signInProblem).toBe('expired');
  expect(parseOptions('?problem=%3Cb%3E').signInProblem).toBe('failed');
});

it('cuts a long name', () => {
  expect(parseOptions(`?name=${'x'.repeat(500)}`).name).toHaveLength(64);
});
