/**
 * The way in by the link of an invitation: at once, or through the lobby. Who waits has no connection but this: the page asks
 * what a host has decided, now and then and when the bell rings.
 */
import { Bell } from './bell';
import { type Failure, JoinRefused } from './failure';
import { type Answer, ask, field, post } from './invite';

/** Hosts see somebody come in as soon as they admit them. */
const ASK_EVERY_MS = 1_000;
/** Without an answer for so long, the server is not there. */
const PATIENCE_MS = 60_000;

/** What somebody waits for: a host, a host who has sent them out of the room, or the next case, which lets them in by itself. */
export type Wait = 'host' | 'sent-back' | 'next-case';

/** What becomes known on the way. */
export interface News {
  /** Of the meeting. */
  title?: string;
  wait?: Wait;
}

/** What the lobby says that ends the waiting. */
const DECIDED: Partial<Record<string, Failure>> = {
  denied: 'denied',
  removed: 'removed',
  banned: 'removed',
  left: 'left',
  ended: 'room-ended',
  cancelled: 'cancelled',
};

/** Passes by itself. */
const PASSING: ReadonlySet<Failure> = new Set(['no-connection', 'busy', 'server-stopped']);

/** After we were sent out, whatever else keeps us from waiting comes to the same. */
const SAID_AFTERWARDS: ReadonlySet<Failure> = new Set(['denied', 'room-ended', 'cancelled', 'left']);

/** A token, once somebody may come in. */
export async function enterByLink(link: string, signal: AbortSignal, tell: (news: News) => void): Promise<string> {
  const answer = await post('/api/v1/join/invitation', { link_secret: link });
  if (answer.status === 202) return wait(answer, { link, reason: 'host' }, signal, tell);
  tell(titleOf(answer));
  return part(answer, 'token');
}

/** The same for who was inside, where a host keeps them a place at the door; they were removed where not. */
export async function enterAgain(link: string, signal: AbortSignal, tell: (news: News) => void): Promise<string> {
  let answer: Answer;
  try {
    answer = await takePlace(link);
  } catch (error) {
    const isSaid = error instanceof JoinRefused && SAID_AFTERWARDS.has(error.failure);
    throw isSaid ? error : new JoinRefused('removed');
  }
  return wait(answer, { link, reason: 'sent-back' }, signal, tell);
}

/** At the door, where a host has sent us; it takes nobody else's place. */
function takePlace(link: string): Promise<Answer> {
  return post('/api/v1/lobby', { link_secret: link });
}

interface Waiting {
  link: string;
  reason: Wait;
}

async function wait(knocked: Answer, { link, reason }: Waiting, signal: AbortSignal, tell: (news: News) => void): Promise<string> {
  tell({ ...titleOf(knocked), wait: reason });
  let answer = knocked;
  for (;;) {
    const token = await waitWith(part(answer, 'ticket'), reason, signal, tell);
    if (token !== undefined) return token;
    // A ticket does not say why it is good no longer; the link does, unless it gives another.
    answer = await takePlace(link);
  }
}

/** A token, or nothing where the ticket is good no longer. */
async function waitWith(ticket: string, reason: Wait, signal: AbortSignal, tell: (news: News) => void): Promise<string | undefined> {
  const bell = new Bell(ticket);
  let heardAt = performance.now();
  try {
    while (!signal.aborted) {
      try {
        const { body } = await ask('/api/v1/lobby', { headers: bearer(ticket) });
        heardAt = performance.now();
        const token = field(body, 'token');
        if (token !== undefined) return token;
        const state = field(body, 'state') ?? '';
        const failure = DECIDED[state];
        if (failure !== undefined) throw new JoinRefused(failure, field(body, 'message'));
        tell({ wait: state === 'awaiting_next_case' ? 'next-case' : reason });
      } catch (error) {
        const failure = error instanceof JoinRefused ? error.failure : 'unexpected';
        if (failure === 'wait-over') return undefined;
        if (!PASSING.has(failure) || performance.now() - heardAt > PATIENCE_MS) throw error;
      }
      await bell.wait(ASK_EVERY_MS, signal);
    }
  } finally {
    bell.close();
  }
  // Whoever closes the page says nothing, and is not waited for either.
  await ask('/api/v1/lobby', { method: 'DELETE', headers: bearer(ticket) }).catch(() => undefined);
  throw new JoinRefused('left');
}

function bearer(ticket: string): { authorization: string } {
  return { authorization: `Bearer ${ticket}` };
}

function titleOf({ body }: Answer): News {
  const title = field(body, 'title');
  return title === undefined ? {} : { title };
}

function part({ body }: Answer, name: string): string {
  const value = field(body, name);
  if (value === undefined) throw new JoinRefused('unexpected');
  return value;
}
