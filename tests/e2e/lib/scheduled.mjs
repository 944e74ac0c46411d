// A meeting of the REST API with people who come by their links, and what hosts do about them.
import assert from 'node:assert/strict';

const HOUR_MS = 3_600_000;

export async function startScheduling(server) {
  const api = await server.api('meetings:write');
  const done = async (status, ...request) => {
    const [got, body] = await api(...request);
    assert.equal(got, status, JSON.stringify(body));
    return body;
  };
  /** One that starts in so many hours, for an hour. */
  const schedule = async ({ inHours = 0, title = 'Lung MDT', lobby = 'guests' } = {}) => {
    const start = new Date(Date.now() + inHours * HOUR_MS).toISOString().slice(0, 19);
    const { id } = await done(201, 'POST', 'meetings', { title, start, time_zone: 'UTC', duration_minutes: 60, lobby });
    return {
      id,
      invite: async (name, role, more = {}) => {
        const made = await done(201, 'POST', `meetings/${id}/invitations`, { name, role, ...more });
        return { id: made.id, secret: made.link_secret, link: `${server.origin}/m/${id}?autojoin=1&debug=1&video=low#${made.link_secret}` };
      },
      act: (invitation, action, body = {}) => done(204, 'POST', `meetings/${id}/participants/${invitation.id}/${action}`, body),
      end: () => done(204, 'POST', `meetings/${id}/room/end`),
    };
  };
  return { schedule, revoke: (invitation) => done(204, 'DELETE', `invitations/${invitation.id}`) };
}
