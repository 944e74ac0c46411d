import { describe, expect, it } from 'vitest';
import codes from './room-codes.json';
import { destinationOf, isRoomCode, isScheduled, parseRoute, roomPath } from './routes';

describe('routes', () => {
  it('opens the start page and rooms, and nothing else', () => {
    expect(parseRoute('/')).toEqual({ page: 'start' });
    expect(parseRoute('/sign-in')).toEqual({ page: 'sign-in' });
    expect(parseRoute('/m/lung-mdt')).toEqual({ page: 'room', room: 'lung-mdt' });
    expect(parseRoute('/m/lung-mdt/')).toEqual({ page: 'room', room: 'lung-mdt' });
    for (const path of ['/m/', '/m/a/b', '/m/%E0%A4%A', '/m/..', '/m/a%2Fb', '/x', `/m/${'a'.repeat(65)}`]) {
      expect(parseRoute(path), path).toEqual({ page: 'missing' });
    }
  });

  it('accepts the room codes that the server accepts, and no others', () => {
    for (const room of codes.good) expect(isRoomCode(room), room).toBe(true);
    for (const room of codes.bad) expect(isRoomCode(room), room).toBe(false);
  });

  it('tells the room of a scheduled meeting from one that people named', () => {
    expect(isScheduled('mtg_01kb7m3xv0c8q2d5e9f6g7h8jk')).toBe(true);
    for (const room of ['lung-mdt', 'mtg_', 'mtg_lung', 'mtg_01kb7m3xv0c8q2d5e9f6g7h8ji', 'xmtg_01kb7m3xv0c8q2d5e9f6g7h8jk']) {
      expect(isScheduled(room), room).toBe(false);
    }
  });

  it('round-trips every valid room code through its address', () => {
    for (const room of codes.good) {
      expect(parseRoute(roomPath(room))).toEqual({ page: 'room', room });
    }
  });

  it('accepts a code, a code with spaces and a pasted link with its invitation', () => {
    expect(destinationOf('  lung mdt ')).toBe('/m/lung-mdt');
    expect(destinationOf('w\u0302')).toBe(roomPath('ŵ'));
    expect(destinationOf('https://meet.example/m/lung-mdt#a.b.c')).toBe('/m/lung-mdt#a.b.c');
    expect(destinationOf('https://meet.example/m/lung-mdt?video=low#a.b.c')).toBe('/m/lung-mdt#a.b.c');
  });

  it('refuses what cannot be a room', () => {
    for (const text of ['', '   ', 'a/b', 'https://meet.example/', '<script>', 'javascript:alert(1)']) {
      expect(destinationOf(text), text).toBeUndefined();
    }
  });
});
