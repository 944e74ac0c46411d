// The provider: oidc-provider with one client, our server, and people who are whoever they say.

import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import Provider from 'oidc-provider';

export const PEOPLE = {
  'dr-known': { name: 'Dr Known', email: 'known@example.org', email_verified: true, organisation: 'St Elsewhere', roles: ['mdt'] },
  'dr-other': { name: 'Dr Siân Ó Briain', email: 'other@example.org', email_verified: false, roles: [] },
};

function signingKey(kid) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' };
}

/** Listens where `issuer` says, with a key of its own; `sessions` outlive it. */
export async function start({ issuer, client, site, kid }) {
  const provider = new Provider(issuer, {
    clients: [
      {
        ...client,
        redirect_uris: [`${site}/callback`],
        backchannel_logout_uri: `${site}/logout`,
        backchannel_logout_session_required: true,
      },
    ],
    jwks: { keys: [signingKey(kid)] },
    cookies: { keys: ['not secret: nobody else is here'] },
    claims: { profile: ['name', 'organisation', 'roles'], email: ['email', 'email_verified'] },
    features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
    findAccount: (_, id) => PEOPLE[id] && { accountId: id, claims: () => ({ sub: id, ...PEOPLE[id] }) },
  });
  const { hostname, port } = new URL(issuer);
  const server = provider.listen(Number(port), hostname);
  await once(server, 'listening');
  return {
    provider,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
