/** Asks the server for a token to a room that anybody with its code may enter. */
import { failureOfProblem, JoinRefused } from './failure';

/** A join answer is a few hundred bytes; a server that takes longer than this is not there. */
const ANSWER_WITHIN_MS = 10_000;

export async function requestToken(room: string, name: string): Promise<string> {
  const answer = await post({ room, name });
  const body: unknown = await answer.json().catch(() => undefined);
  if (!answer.ok) throw new JoinRefused(failureOfProblem(answer.status, field(body, 'code')));
  const token = field(body, 'token');
  if (token === undefined) throw new JoinRefused('unexpected');
  return token;
}

async function post(body: object): Promise<Response> {
  try {
    return await fetch('/api/v1/join', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      credentials: 'omit',
      cache: 'no-store',
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
  } catch {
    throw new JoinRefused('no-connection');
  }
}

function field(body: unknown, name: string): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const value = (body as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : undefined;
}
