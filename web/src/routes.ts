/** Which page an address means. Knows addresses only: no history, no network. */

export type Route = { page: 'start' } | { page: 'room'; room: string } | { page: 'missing' };

/** Letters, digits, hyphen, underscore, full stop; short enough for any address bar. */
const ROOM_CODE = /^[\p{L}\p{N}_.-]{1,64}$/u;

export function isRoomCode(text: string): boolean {
  return ROOM_CODE.test(text) && !/^\.+$/.test(text);
}

export function parseRoute(pathname: string): Route {
  if (pathname === '/' || pathname === '') return { page: 'start' };
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
  const code = text.replace(/\s+/g, '-');
  return isRoomCode(code) ? roomPath(code) : undefined;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
