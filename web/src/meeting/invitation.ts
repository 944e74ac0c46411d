/**
 * Reads an invitation far enough to greet its owner: a signed token, or the secret of a link, which the server makes a token
 * of. Whether either is good is the server's business; nothing here is a decision about what somebody may do.
 */
export interface Invitation {
  token: string | undefined;
  /** The secret of a link; says nothing of whose it is. */
  link: string | undefined;
  name: string | undefined;
  room: string | undefined;
}

/** As the server writes them (`src/meetings/invitation.rs`). Whatever else looks odd is a damaged token. */
const LINK = /^inv_[0-9a-z]{26}\.[\w-]{43}$/;

export function readInvitation(fragment: string): Invitation | undefined {
  const token = fragment.replace(/^#/, '');
  if (token === '') return undefined;
  if (LINK.test(token)) return { token: undefined, link: token, name: undefined, room: undefined };
  const claims = claimsOf(token);
  const name = text(claims['name']) ?? text(claims['sub']);
  const video = claims['video'];
  const room = typeof video === 'object' && video !== null ? text((video as Record<string, unknown>)['room']) : undefined;
  return { token, link: undefined, name, room };
}

function claimsOf(token: string): Record<string, unknown> {
  try {
    const payload = (token.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/');
    const bytes = Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : {};
  } catch {
    // A damaged token is still sent: the server says what is wrong with it.
    return {};
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}
