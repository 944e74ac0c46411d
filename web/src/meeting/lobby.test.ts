import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { JoinRefused } from './failure';
import { enterAgain, enterByLink, type News } from './lobby';

type Reply = [status: number, body: unknown] | 'nothing';

let asked: { path: string; method: string; ticket: string | null }[];
let replies: Reply[];
/** What comes from the lobby's stream; without it there is no bell. */
let stream: ReadableStream | undefined;

beforeEach(() => {
  vi.useFakeTimers();
  [asked, replies, stream] = [[], [], undefined];
  vi.stubGlobal('fetch', (path: string, init: RequestInit) => {
    if (path === '/api/v1/lobby/events') return Promise.resolve(new Response(stream, { status: stream === undefined ? 503 : 200 }));
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

/** What becomes of somebody, while the clock runs; and what they were told on the way. */
async function outcome(enter = enterByLink, signal = new AbortController().signal): Promise<{ result: unknown; told: News[] }> {
  const told: News[] = [];
  const entering = enter('link', signal, (news) => told.push(news)).catch((error: unknown) => error);
  await vi.runAllTimersAsync();
  const result = await entering;
  return { result: result instanceof JoinRefused ? [result.failure, result.words] : result, told };
}

it('lets in at once who need not wait', async () => {
  replies = [[200, { token: 'jwt', title: 'Lung MDT' }]];
  expect(await outcome()).toEqual({ result: 'jwt', told: [{ title: 'Lung MDT' }] });
});

it('waits for the host, through a lost answer, and asks with the ticket alone', async () => {
  replies = [[202, { ticket: 'tk', title: 'Lung MDT' }], WAITING, 'nothing', [503, { code: 'busy' }], WAITING, [200, { state: 'admitted', token: 'jwt' }]];
  const { result, told } = await outcome();
  expect(result).toBe('jwt');
  expect(told[0]).toEqual({ title: 'Lung MDT', wait: 'host' });
  expect(told.slice(1).every((news) => news.wait === 'host')).toBe(true);
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
  [409, 'meeting_not_open', 'not-open'],
  [409, 'meeting_ended', 'room-ended'],
  [409, 'meeting_locked', 'locked'],
  [409, 'meeting_full', 'room-full'],
  [403, 'entry_denied', 'denied'],
])('says why a link opens nothing: %i %s', async (status, code, failure) => {
  replies = [[status, { code }]];
  expect((await outcome()).result).toEqual([failure, undefined]);
});

it('gives up a server that is gone', async () => {
  replies = [[202, { ticket: 'tk' }]];
  expect((await outcome()).result).toEqual(['no-connection', undefined]);
});

const VOID: Reply = [401, { code: 'ticket_invalid' }];

it.each([
  [[409, { code: 'meeting_ended' }], 'room-ended'],
  [[403, { code: 'link_invalid' }], 'token-invalid'],
  [[409, { code: 'not_waiting' }], 'wait-over'],
] as [Reply, string][])('asks with the link why a ticket is good no longer, and takes no place with it: %j', async (reply, failure) => {
  replies = [[202, { ticket: 'tk' }], VOID, reply];
  expect((await outcome()).result).toEqual([failure, undefined]);
  expect(asked.map(({ method, path }) => `${method} ${path}`)).toEqual(['POST /api/v1/join/invitation', 'GET /api/v1/lobby', 'POST /api/v1/lobby']);
});

it('waits on with another ticket where a host has sent it to the door again', async () => {
  replies = [[202, { ticket: 'tk' }], VOID, [202, { ticket: 'other' }], [200, { state: 'admitted', token: 'jwt' }]];
  expect((await outcome()).result).toBe('jwt');
  expect(asked.at(-1)?.ticket).toBe('Bearer other');
});

it('waits again for who was sent back, for a host or the next case, and comes in by itself', async () => {
  replies = [[202, { ticket: 'tk', title: 'Lung MDT' }], [200, { state: 'awaiting_next_case' }], WAITING, [200, { state: 'admitted', token: 'jwt' }]];
  const { result, told } = await outcome(enterAgain);
  expect(result).toBe('jwt');
  expect(told).toEqual([{ title: 'Lung MDT', wait: 'sent-back' }, { wait: 'next-case' }, { wait: 'sent-back' }]);
  expect(asked[0]).toEqual({ path: '/api/v1/lobby', method: 'POST', ticket: null });
});

it.each([
  [[409, { code: 'not_waiting' }], 'removed'],
  [[403, { code: 'entry_banned' }], 'removed'],
  [[403, { code: 'link_invalid' }], 'removed'],
  [[429, { code: 'too_many_requests' }], 'removed'],
  ['nothing', 'removed'],
  [[409, { code: 'meeting_ended' }], 'room-ended'],
  [[409, { code: 'meeting_cancelled' }], 'cancelled'],
] as [Reply, string][])('does not wait where nobody keeps a place, and says so: %j', async (reply, failure) => {
  replies = [reply];
  expect(await outcome(enterAgain)).toEqual({ result: [failure, undefined], told: [] });
  expect(asked.length).toBe(1);
});

it('asks at once when the bell rings, however slow the clock is', async () => {
  let ring: () => void = () => undefined;
  stream = new ReadableStream({
    start: (controller) => {
      ring = () => controller.enqueue(new TextEncoder().encode('event: state\n'));
    },
  });
  replies = [[202, { ticket: 'tk' }], WAITING, [200, { state: 'admitted', token: 'jwt' }]];
  const entering = enterByLink('link', new AbortController().signal, () => undefined);
  await vi.advanceTimersByTimeAsync(1);
  expect(asked.length).toBe(2);
  ring();
  await vi.advanceTimersByTimeAsync(1);
  expect(await entering).toBe('jwt');
});

it('says goodbye for whoever leaves', async () => {
  const leaving = new AbortController();
  replies = [[202, { ticket: 'tk' }], [204, undefined]];
  leaving.abort();
  expect((await outcome(enterByLink, leaving.signal)).result).toEqual(['left', undefined]);
  expect(asked.at(-1)).toEqual({ path: '/api/v1/lobby', method: 'DELETE', ticket: 'Bearer tk' });
});
