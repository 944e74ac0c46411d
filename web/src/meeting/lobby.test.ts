import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { JoinRefused } from './failure';
import { enterByLink } from './lobby';

type Reply = [status: number, body: unknown] | 'nothing';

let asked: { path: string; method: string; ticket: string | null }[];
let replies: Reply[];

beforeEach(() => {
  vi.useFakeTimers();
  [asked, replies] = [[], []];
  vi.stubGlobal('fetch', (path: string, init: RequestInit) => {
    asked.push({ path, method: init.method ?? 'GET', ticket: new Headers(init.headers).get('authorization') });
    const reply = replies.shift() ?? 'nothing';
    if (reply === 'nothing') return Promise.reject(new TypeError('no network'));
    return Promise.resolve(new Response(reply[0] === 204 ? null : JSON.stringify(reply[1]), { status: reply[0] }));
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const WAITING: Reply = [200, { state: 'waiting' }];

/** What becomes of somebody, while the clock runs; and how often they were told to wait. */
async function outcome(signal = new AbortController().signal): Promise<{ result: unknown; waits: number }> {
  let waits = 0;
  const entering = enterByLink('link', signal, () => (waits += 1)).catch((error: unknown) => error);
  await vi.runAllTimersAsync();
  const result = await entering;
  return { result: result instanceof JoinRefused ? [result.failure, result.words] : result, waits };
}

it('lets in at once who need not wait', async () => {
  replies = [[200, { token: 'jwt' }]];
  expect(await outcome()).toEqual({ result: 'jwt', waits: 0 });
});

it('waits for the host, through a lost answer, and asks with the ticket alone', async () => {
  replies = [[202, { ticket: 'tk' }], WAITING, 'nothing', [503, { code: 'busy' }], WAITING, [200, { state: 'admitted', token: 'jwt' }]];
  expect(await outcome()).toEqual({ result: 'jwt', waits: 1 });
  expect(asked.slice(1).every((one) => one.path === '/api/v1/lobby' && one.ticket === 'Bearer tk')).toBe(true);
});

it.each([
  [{ state: 'denied', message: 'Not today' }, ['denied', 'Not today']],
  [{ state: 'banned' }, ['removed', undefined]],
  [{ state: 'ended' }, ['room-ended', undefined]],
  [{ state: 'cancelled' }, ['cancelled', undefined]],
])('says what a host decided: %j', async (body, result) => {
  replies = [[202, { ticket: 'tk' }], WAITING, [200, body]];
  expect((await outcome()).result).toEqual(result);
});

it.each([
  [403, 'link_invalid', 'token-invalid'],
  [403, 'link_expired', 'token-expired'],
  [409, 'meeting_not_open', 'token-early'],
  [409, 'meeting_locked', 'locked'],
  [409, 'meeting_full', 'room-full'],
  [403, 'entry_denied', 'denied'],
])('says why a link opens nothing: %i %s', async (status, code, failure) => {
  replies = [[status, { code }]];
  expect((await outcome()).result).toEqual([failure, undefined]);
});

it('gives up a server that is gone, and a ticket that is good no longer', async () => {
  replies = [[202, { ticket: 'tk' }]];
  expect((await outcome()).result).toEqual(['no-connection', undefined]);
  replies = [[202, { ticket: 'tk' }], [401, { code: 'ticket_invalid' }]];
  expect((await outcome()).result).toEqual(['token-invalid', undefined]);
});

it('says goodbye for whoever leaves', async () => {
  const leaving = new AbortController();
  replies = [[202, { ticket: 'tk' }], [204, undefined]];
  leaving.abort();
  expect((await outcome(leaving.signal)).result).toEqual(['left', undefined]);
  expect(asked.at(-1)).toEqual({ path: '/api/v1/lobby', method: 'DELETE', ticket: 'Bearer tk' });
});
