import { ConnectionError, DisconnectReason, NegotiationError } from 'livekit-client';
import { describe, expect, it } from 'vitest';
import { en } from '../i18n/en';
import { failureOfConnect, failureOfDisconnect, failureOfProblem, failureOfRefusal, JoinRefused } from './failure';

describe('refused tokens', () => {
  it.each([
    ['token is expired', 'token-expired'],
    ['this link has expired: ask for a new one', 'token-expired'],
    ['token is not yet valid', 'token-early'],
    ['the access token is not valid yet', 'token-early'],
    ['the access token does not grant joining a room', 'token-invalid'],
    ['room is full', 'room-full'],
    ['room has reached its maximum number of participants', 'room-full'],
    ['requested room does not exist', 'room-ended'],
    ['This meeting is locked. Ask the host to let you in.', 'locked'],
    ['This meeting was cancelled.', 'cancelled'],
    ['This meeting is not open yet. Come back from 30 minutes before it starts.', 'not-open'],
    ['This meeting has ended.', 'room-ended'],
    ['The host did not let you in.', 'denied'],
    ['A host has to let you in. Use your link again.', 'must-wait'],
    ['The host has removed you from this meeting.', 'removed'],
    ['This meeting needs an invitation. Ask the host for a link.', 'token-missing'],
    ['invalid signature', 'token-invalid'],
    ['', 'token-invalid'],
  ])('%s -> %s', (message, failure) => {
    expect(failureOfRefusal(message)).toBe(failure);
    expect(failureOfConnect(ConnectionError.notAllowed(message, 401), false)).toBe(failure);
  });
});

describe('connection errors', () => {
  it('blames the connection before the door opened, and the media path after', () => {
    const error = ConnectionError.timeout('late');
    expect(failureOfConnect(error, false)).toBe('no-connection');
    expect(failureOfConnect(error, true)).toBe('no-media');
    expect(failureOfConnect(new NegotiationError('no'), true)).toBe('no-media');
  });

  it('says that the service is busy when it said so', () => {
    expect(failureOfConnect(ConnectionError.internal('x', { status: 503 }), false)).toBe('busy');
    expect(failureOfConnect(ConnectionError.internal('x', { status: 500 }), false)).toBe('no-connection');
  });

  it('keeps the reason with which the server sent us away', () => {
    expect(failureOfConnect(ConnectionError.leaveRequest('x', DisconnectReason.ROOM_DELETED), true)).toBe('room-ended');
    expect(failureOfConnect(new JoinRefused('token-missing'), false)).toBe('token-missing');
    expect(failureOfConnect(new Error('bug'), false)).toBe('unexpected');
  });
});

it('maps the answers of the join endpoint', () => {
  expect(failureOfProblem(403, 'rooms_closed')).toBe('token-missing');
  expect(failureOfProblem(422, 'invalid_room')).toBe('room-invalid');
  expect(failureOfProblem(422, 'invalid_name')).toBe('name-invalid');
  expect(failureOfProblem(503, undefined)).toBe('busy');
  expect(failureOfProblem(500, undefined)).toBe('server-stopped');
});

it('has a title and an explanation for every reason to disconnect', () => {
  const reasons = Object.values(DisconnectReason).filter((reason) => typeof reason === 'number');
  expect(reasons.length).toBeGreaterThan(10);
  for (const reason of reasons) {
    const failure = failureOfDisconnect(reason);
    expect(en).toHaveProperty([`end.${failure}.title`]);
    expect(en).toHaveProperty([`end.${failure}`]);
  }
  expect(failureOfDisconnect(DisconnectReason.PARTICIPANT_REMOVED)).toBe('removed');
  expect(failureOfDisconnect(DisconnectReason.DUPLICATE_IDENTITY)).toBe('duplicate');
  expect(failureOfDisconnect(undefined)).toBe('connection-lost');
});
