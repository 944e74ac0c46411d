/**
 * The way in by the link of an invitation: at once, or through the lobby. Who waits has no connection but this: the page asks
 * now and then what a host has decided.
 */
import { JoinRefused, type Failure } from './failure';
import { ask, field, post } from './invite';

/** Hosts see somebody come in as soon as they admit them. */
const ASK_EVERY_MS = 1_000;
/** Without an answer for so long, the server is not there. */
const PATIENCE_MS = 60_000;

/** What the lobby says that ends the waiting. */
const DECIDED: Partial<Record<string, Failure>> = {
  denied: 'denied',
  removed: 'removed',
  banned: 'removed',
  left: 'left',
  ended: 'room-ended',
  cancelled: 'cancelled',
};

/** A token, once somebody may come in. `onWaiting` is called where a host has to decide. */
export async function enterByLink(link: string, signal: AbortSignal, onWaiting: () => void): Promise<string> {
  const { status, body } = await post('/api/v1/join/invitation', { link_secret: link });
  const found = field(body, status === 202 ? 'ticket' : 'token');
  if (found === undefined) throw new JoinRefused('unexpected');
  if (status !== 202) return found;
  onWaiting();
  return wait(found, signal);
}

async function wait(ticket: string, signal: AbortSignal): Promise<string> {
  const headers = { authorization: `Bearer ${ticket}` };
  let heardAt = performance.now();
  for (;;) {
    await pause(signal);
    if (signal.aborted) {
      // Whoever closes the page says nothing, and is not waited for either.
      await ask('/api/v1/lobby', { method: 'DELETE', headers }).catch(() => undefined);
      throw new JoinRefused('left');
    }
    try {
      const { body } = await ask('/api/v1/lobby', { headers });
      heardAt = performance.now();
      const token = field(body, 'token');
      if (token !== undefined) return token;
      const failure = DECIDED[field(body, 'state') ?? ''];
      if (failure !== undefined) throw new JoinRefused(failure, field(body, 'message'));
    } catch (error) {
      const isPassing = error instanceof JoinRefused && ['no-connection', 'busy', 'server-stopped'].includes(error.failure);
      if (!isPassing || performance.now() - heardAt > PATIENCE_MS) throw error;
    }
  }
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, signal.aborted ? 0 : ASK_EVERY_MS);
    signal.addEventListener('abort', done);
  });
}
