// A person signs in with a provider that we did not write, and out again.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser } from './browser.mjs';
import { start } from './issuer.mjs';

const PATIENCE_MS = 15_000;

function fromEnvironment(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; run tests/interop/run.sh`);
  return value;
}

const http = fromEnvironment('INTEROP_HTTP');
const session = `${http}/api/v1/session`;
const site = `${session}/oidc/real`;
const issuer = fromEnvironment('CONSILIUM_IDENTITY__PROVIDERS__REAL__ISSUER');
const client = {
  client_id: fromEnvironment('CONSILIUM_IDENTITY__PROVIDERS__REAL__CLIENT_ID'),
  client_secret: fromEnvironment('CONSILIUM_IDENTITY__PROVIDERS__REAL__CLIENT_SECRET'),
};

let running;
before(async () => (running = await start({ issuer, client, site, kid: 'first' })));
after(() => running.stop());

/** Through the provider's pages; returns where our server leads at the end. */
async function signIn(browser, login) {
  let page = await browser.follow(`${site}?return_to=/meetings`, { end: `${http}/` });
  // Signed in there already, the provider asks nothing.
  if (page.answer) {
    assert.match(page.url, /\/interaction\//);
    page = await browser.submit(page.url, { prompt: 'login', login, password: 'any' }, { end: `${site}/callback` });
    if (page.answer) {
      page = await browser.submit(page.url, { prompt: 'consent' }, { end: `${site}/callback` });
    }
  }
  const answer = await browser.request(page.url);
  assert.equal(answer.status, 303, await answer.text());
  return answer.headers.get('location');
}

async function user(browser) {
  const answer = await browser.request(session);
  return (await answer.json()).user;
}

async function until(condition, what) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, what);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test('the offered providers are told before anyone signs in', async () => {
  const answer = await fetch(session);
  assert.deepEqual(await answer.json(), { user: null, providers: [{ id: 'real', name: 'Interop' }] });
});

test('a person signs in with code and PKCE and is who the provider says', async () => {
  const browser = new Browser();
  assert.equal(await signIn(browser, 'dr-known'), '/meetings');
  const known = await user(browser);
  assert.deepEqual(
    { ...known, id: typeof known.id },
    { id: 'string', name: 'Dr Known', email: 'known@example.org', organisation: 'St Elsewhere', role: 'coordinator', provider: 'real' },
  );
  const other = new Browser();
  await signIn(other, 'dr-other');
  const { id, name, email, role } = await user(other);
  assert.deepEqual([name, email, role], ['Dr Siân Ó Briain', null, 'member']);
  assert.notEqual(id, known.id);
});

test('a session makes a meeting from our own pages alone', async () => {
  const browser = new Browser();
  await signIn(browser, 'dr-known');
  const meeting = { title: 'Lung MDT', start: '2027-01-05T08:30:00', time_zone: 'Europe/London', duration_minutes: 60 };
  const options = { method: 'POST', body: JSON.stringify(meeting) };
  const json = { 'content-type': 'application/json' };
  const forged = await browser.request(`${http}/api/v1/meetings`, { ...options, headers: { ...json, origin: 'https://evil.test' } });
  assert.deepEqual([forged.status, (await forged.json()).code], [403, 'cross_site']);
  const own = { ...json, origin: http, 'consilium-request': '1' };
  const made = await browser.request(`${http}/api/v1/meetings`, { ...options, headers: own });
  assert.equal(made.status, 201);
});

test('who signs out at the provider is signed out here', async () => {
  const browser = new Browser();
  await signIn(browser, 'dr-known');
  const bystander = new Browser();
  await signIn(bystander, 'dr-known');
  assert.ok((await user(browser)) && (await user(bystander)));
  const page = await browser.follow(`${issuer}/session/end`);
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(await page.answer.text())[1];
  await browser.submit(`${issuer}/session/end/confirm`, { xsrf, logout: 'yes' });
  await until(async () => (await user(browser)) === null, 'the session goes on');
  assert.ok(await user(bystander), 'a sign-in elsewhere is another session of the provider');
});

test('the provider takes another key, and people go on signing in', async () => {
  const before = new Browser();
  await signIn(before, 'dr-known');
  await running.stop();
  running = await start({ issuer, client, site, kid: 'second' });
  await until(async () => (await signIn(new Browser(), 'dr-known')) === '/meetings', 'the new key is not taken');
  assert.ok(await user(before), 'sessions do not hang on the key');
});

test('without its provider nobody signs in, and those who have stay', async () => {
  const browser = new Browser();
  await signIn(browser, 'dr-known');
  const other = new Browser();
  const back = await other.follow(site, { end: `${issuer}/` });
  assert.match(back.url, /code_challenge_method=S256/);
  await running.stop();
  const state = new URL(back.url).searchParams.get('state');
  const answer = await other.request(`${site}/callback?code=x&state=${state}`);
  assert.equal(answer.headers.get('location'), '/sign-in?problem=unavailable');
  assert.ok(await user(browser));
  running = await start({ issuer, client, site, kid: 'third' });
});
