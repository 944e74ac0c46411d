/** Why somebody is not in the meeting: one closed list, and the translation from what the network reports. */
import { ConnectionError, ConnectionErrorReason, DisconnectReason, NegotiationError, UnexpectedConnectionState } from 'livekit-client';

export type Failure =
  | 'left'
  | 'room-full'
  | 'token-expired'
  | 'token-early'
  | 'not-open'
  | 'token-invalid'
  | 'token-missing'
  | 'room-invalid'
  | 'name-invalid'
  | 'no-connection'
  | 'no-media'
  | 'connection-lost'
  | 'removed'
  | 'must-wait'
  | 'wait-over'
  | 'duplicate'
  | 'room-ended'
  | 'locked'
  | 'denied'
  | 'cancelled'
  | 'server-stopped'
  | 'busy'
  | 'unsupported'
  | 'unexpected';

/** An error that already knows its place in the list. */
export class JoinRefused extends Error {
  constructor(
    readonly failure: Failure,
    /** A host's own words. */
    readonly words?: string,
  ) {
    super(failure);
  }
}

/** Codes that say exactly what is wrong. */
const BY_CODE: Partial<Record<string, Failure>> = {
  link_invalid: 'token-invalid',
  link_expired: 'token-expired',
  ticket_invalid: 'wait-over',
  not_waiting: 'wait-over',
  meeting_not_open: 'not-open',
  meeting_locked: 'locked',
  meeting_ended: 'room-ended',
  meeting_cancelled: 'cancelled',
  entry_denied: 'denied',
  entry_banned: 'removed',
};

/** An answer of the join endpoint that is not a token (RFC 9457 problem details). */
export function failureOfProblem(status: number, code: string | undefined): Failure {
  const known = code === undefined ? undefined : BY_CODE[code];
  if (known !== undefined) return known;
  if (code?.includes('full')) return 'room-full';
  if (code?.includes('name')) return 'name-invalid';
  if (code?.includes('room') && status === 422) return 'room-invalid';
  switch (status) {
    case 401:
    case 403:
      return 'token-missing';
    case 404:
      return 'token-missing';
    case 422:
      return 'room-invalid';
    case 429:
    case 503:
      return 'busy';
    default:
      return status >= 500 ? 'server-stopped' : 'unexpected';
  }
}

/** What `room.connect` threw. `established` tells whether the server had already let us in. */
export function failureOfConnect(error: unknown, established: boolean): Failure {
  if (error instanceof JoinRefused) return error.failure;
  if (error instanceof NegotiationError || error instanceof UnexpectedConnectionState) return 'no-media';
  if (!(error instanceof ConnectionError)) return 'unexpected';
  switch (error.reason) {
    case ConnectionErrorReason.NotAllowed:
      return failureOfRefusal(error.message);
    case ConnectionErrorReason.LeaveRequest:
      return failureOfDisconnect(error.context as DisconnectReason | undefined);
    case ConnectionErrorReason.ServerUnreachable:
    case ConnectionErrorReason.WebSocket:
    case ConnectionErrorReason.ServiceNotFound:
    case ConnectionErrorReason.Timeout:
      return established ? 'no-media' : failureOfStatus(error.status as number | undefined);
    case ConnectionErrorReason.Cancelled:
      return 'left';
    default: {
      // Once the door is open, what can still fail is the way of the media.
      const context = error.context as { status?: number } | undefined;
      return established ? 'no-media' : failureOfStatus(context?.status);
    }
  }
}

function failureOfStatus(status: number | undefined): Failure {
  return status === 429 || status === 503 ? 'busy' : 'no-connection';
}

/** The server's reason for refusing a token is a sentence; these words are its stable part. */
export function failureOfRefusal(message: string): Failure {
  const text = message.toLowerCase();
  if (/\bfull\b|max(imum)?[ _-]?(number of )?participants|participant limit/.test(text)) return 'room-full';
  if (/not (yet valid|valid yet)|\bnot.?before\b|\bnbf\b/.test(text)) return 'token-early';
  if (/expired/.test(text)) return 'token-expired';
  if (/\blocked\b/.test(text)) return 'locked';
  if (/\bcancelled\b/.test(text)) return 'cancelled';
  if (/not open/.test(text)) return 'not-open';
  if (/room does not exist|(room|meeting) (has )?(ended|closed)/.test(text)) return 'room-ended';
  if (/did not let you in/.test(text)) return 'denied';
  if (/has to let you in/.test(text)) return 'must-wait';
  if (/has removed you/.test(text)) return 'removed';
  if (/needs an invitation/.test(text)) return 'token-missing';
  return 'token-invalid';
}

/** Why a meeting that we were in ended. */
export function failureOfDisconnect(reason: DisconnectReason | undefined): Failure {
  switch (reason) {
    case DisconnectReason.CLIENT_INITIATED:
      return 'left';
    case DisconnectReason.DUPLICATE_IDENTITY:
      return 'duplicate';
    case DisconnectReason.PARTICIPANT_REMOVED:
      return 'removed';
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return 'room-ended';
    case DisconnectReason.SERVER_SHUTDOWN:
      return 'server-stopped';
    case DisconnectReason.JOIN_FAILURE:
      return 'no-media';
    default:
      return 'connection-lost';
  }
}
