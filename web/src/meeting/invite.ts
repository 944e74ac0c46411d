/** Asks the server for a token to a room that anybody with its code may enter; and how the server is asked at all. */
import { failureOfProblem, JoinRefused } from './failure';

/** A join answer is a few hundred bytes; a server that takes longer than this is not there. */
const ANSWER_WITHIN_MS = 10_000;

export async function requestToken(room: string, name: string): Promise<string> {
  const { body } = await post('/api/v1/join', { room, name });
  const token = field(body, 'token');
  if (token === undefined) throw new JoinRefused('unexpected');
  return token;
}

export interface Answer {
  status: number;
  body: unknown;
}

/** Whoever is signed in comes as who they are; the server takes a session's word from a page of its own only, which says so. */
const OWN_PAGE = { 'consilium-request': '1' };

export function post(path: string, body: object): Promise<Answer> {
  return ask(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
}

type Asked = Omit<RequestInit, 'headers'> & { headers: Record<string, string> };

/** The answer of a request that was granted; what was refused is thrown. */
export async function ask(path: string, request: Asked): Promise<Answer> {
  let answer: Response;
  try {
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
    const headers = { ...request.headers, ...OWN_PAGE };
    answer = await fetch(path, { ...request, headers, credentials: 'same-origin', cache: 'no-store', signal });
  } catch {
    throw new JoinRefused('no-connection');
  }
  const body: unknown = await answer.json().catch(() => undefined);
  if (!answer.ok) throw new JoinRefused(failureOfProblem(answer.status, field(body, 'code')));
  return { status: answer.status, body };
}

export function field(body: unknown, name: string): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const value = (body as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : undefined;
}
