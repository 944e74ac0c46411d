import { expect, it } from 'vitest';
import { readInvitation } from './invitation';

function token(claims: unknown): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part(claims)}.c2ln`;
}

it('reads the name and the room of an invitation, whatever the script', () => {
  const jwt = token({ sub: 'shah', name: 'Dr Siân Ŵyn', video: { room: 'lung-mdt', roomJoin: true } });
  expect(readInvitation(`#${jwt}`)).toEqual({ token: jwt, link: undefined, name: 'Dr Siân Ŵyn', room: 'lung-mdt' });
});

it('falls back to the identity where the invitation names nobody', () => {
  expect(readInvitation(`#${token({ sub: 'shah' })}`)?.name).toBe('shah');
});

it('keeps a damaged invitation for the server to judge', () => {
  for (const damaged of ['x', 'a.b.c', 'a.!!!.c', `a.${btoa('[1')}.c`, `a.${btoa('null')}.c`]) {
    expect(readInvitation(`#${damaged}`)).toEqual({ token: damaged, link: undefined, name: undefined, room: undefined });
  }
});

it('tells the secret of a link from a token', () => {
  const link = `inv_0123456789abcdefghjkmnpqrs.${'A-_z'.repeat(10)}abc`;
  expect(readInvitation(`#${link}`)).toEqual({ token: undefined, link, name: undefined, room: undefined });
  expect(readInvitation(`#${link}x`)?.token).toBe(`${link}x`);
});

it('sees no invitation in an empty fragment', () => {
  expect(readInvitation('')).toBeUndefined();
  expect(readInvitation('#')).toBeUndefined();
});
