/** Which page an address means. Knows addresses only: no history, no network. */

export type Route = { page: 'start' } | { page: 'room'; room: string } | { page: 'sign-in' } | { page: 'missing' };

/**
 * Letters and digits of any script, hyphen, underscore, full stop; the first is a letter or a digit. The server has the same
 * rule (`src/api/join.rs`), in terms that mean the same in both languages; both are tested with `room-codes.json`.
 */
const ROOM_CODE = /^[\p{Alphabetic}\p{N}][\p{Alphabetic}\p{N}_.-]{0,63}$/u;

export function isRoomCode(text: string): boolean {
  return ROOM_CODE.test(text);
}

/** A scheduled meeting's identifier (`src/ids.rs`): its people know it by its title, and come with links of their own. */
const MEETING_ID = /^mtg_[0-9a-hjkmnp-tv-z]{26}$/;

export function isScheduled(room: string): boolean {
  return MEETING_ID.test(room);
}

export function parseRoute(pathname: string): Route {
  if (pathname === '/' || pathname === '') return { page: 'start' };
  if (pathname === '/sign-in') return { page: 'sign-in' };
  const match = /^\/m\/([^/]+)\/?$/.exec(pathname);
  const room = match?.[1] === undefined ? undefined : decode(match[1]);
  return room !== undefined && isRoomCode(room) ? { page: 'room', room } : { page: 'missing' };
}

export function roomPath(room: string): string {
  return `/m/${encodeURIComponent(room)}`;
}

/**
 * What somebody typed or pasted on the start page: a code, a code with spaces, or a whole meeting link. A link keeps its
 * fragment, which carries the personal invitation.
 */
export function destinationOf(input: string): string | undefined {
  const text = input.trim();
  const link = /\/m\/([^/?#\s]+)(?:\?[^#\s]*)?(#\S+)?$/.exec(text);
  if (link?.[1] !== undefined) {
    const room = decode(link[1]);
    return room !== undefined && isRoomCode(room) ? roomPath(room) + (link[2] ?? '') : undefined;
  }
  // Some keyboards put an accent behind its letter; the one room has the one spelling.
  const code = text.normalize('NFC').replace(/\s+/g, '-');
  return isRoomCode(code) ? roomPath(code) : undefined;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
