// A browser as far as signing in needs one: it keeps cookies by origin, follows redirects and fills in forms.

const REDIRECTS_MAX = 12;

export class Browser {
  #cookies = new Map();

  /** Like fetch, with cookies, and no redirect followed. */
  async request(url, { headers = {}, ...options } = {}) {
    const jar = this.#jar(url);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(url, { ...options, redirect: 'manual', headers: { ...headers, ...(cookie && { cookie }) } });
    for (const line of answer.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(';').map((part) => part.trim());
      const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
      const isOver = attributes.some((attribute) => /^max-age=0$|^expires=thu, 01 jan 1970/i.test(attribute));
      if (isOver) jar.delete(name);
      else jar.set(name, value);
    }
    return answer;
  }

  /** Follows redirects to the first page, or to an address that begins with `end`, which is not visited. */
  async follow(url, { end, ...options } = {}) {
    let answer;
    for (let step = 0; step < REDIRECTS_MAX; step++) {
      answer = await this.request(url, options);
      const location = answer.headers.get('location');
      if (!location) return { url, answer };
      url = new URL(location, url).href;
      options = {};
      if (end && url.startsWith(end)) return { url };
    }
    throw new Error(`redirected without end, at last to ${new URL(url).pathname}`);
  }

  submit(url, fields, options) {
    return this.follow(url, { ...options, method: 'POST', body: new URLSearchParams(fields) });
  }

  #jar(url) {
    const { origin } = new URL(url);
    if (!this.#cookies.has(origin)) this.#cookies.set(origin, new Map());
    return this.#cookies.get(origin);
  }
}
