// Where the server under test is, and what a host's back end needs to speak to it.

import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { AccessToken, RoomServiceClient } from 'livekit-server-sdk';

function fromEnvironment(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; run tests/interop/run.sh`);
  return value;
}

export const httpUrl = fromEnvironment('INTEROP_HTTP');
export const webSocketUrl = httpUrl.replace(/^http/, 'ws');
export const apiKey = fromEnvironment('CONSILIUM_API_KEY');
export const apiSecret = fromEnvironment('CONSILIUM_API_SECRET');

export const roomService = new RoomServiceClient(httpUrl, apiKey, apiSecret);

/** Every test has its own room, so no test sees what another left behind. */
export function newRoomName(topic) {
  return `${topic}-${randomUUID().slice(0, 8)}`;
}

export async function joinToken(room, identity, { grants = {}, ...options } = {}) {
  const token = new AccessToken(apiKey, apiSecret, { identity, ...options });
  token.addGrant({ roomJoin: true, room, ...grants });
  return token.toJwt();
}

async function run(...words) {
  const { stdout } = await promisify(execFile)(fromEnvironment('INTEROP_SERVER'), words);
  return stdout.trim();
}

/** What `consilium token ...` prints. */
export async function commandLineToken(...flags) {
  return run('token', ...flags);
}

/** A key of the REST API. */
export async function restKey(...scopes) {
  const flags = scopes.flatMap((scope) => ['--scope', scope]);
  return run('api-key', 'create', '--data-dir', fromEnvironment('INTEROP_DATA'), '--name', 'interop', ...flags);
}

/** A Twirp call with exactly this token and body, for what the SDK would not send. */
export async function twirp(method, token, body, contentType = 'application/json') {
  const headers = { 'content-type': contentType };
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  return fetch(new URL(`/twirp/livekit.RoomService/${method}`, httpUrl), { method: 'POST', headers, body });
}
