/**
 * The few options that an address can carry after `?`. They serve kiosks, support desks and tests; nothing here can
 * carry a secret, because servers and proxies log this part of an address.
 *
 * - `autojoin=1&name=X`  join at once, without the check page (a meeting-room kiosk)
 * - `video=low`          capture 320 x 180 at 15 pictures a second (a slow computer or line)
 * - `codec=vp8|vp9|h264|av1`  which video codec this browser sends
 * - `spc=0|1`            two peer connections, or one (support: older networks and servers)
 * - `debug=1`            `window.__consilium.room` holds the client's room object
 *
 * On the page after a sign-in that failed, `problem` says why, in a word of the server's (`src/api/oidc.rs`).
 */
export interface Options {
  autojoin: boolean;
  name: string | undefined;
  video: 'hd' | 'low';
  codec: VideoCodecName | undefined;
  singlePeerConnection: boolean | undefined;
  debug: boolean;
  signInProblem: SignInProblem;
}

const CODECS = ['vp8', 'vp9', 'h264', 'av1'] as const;
export type VideoCodecName = (typeof CODECS)[number];

const SIGN_IN_PROBLEMS = ['expired', 'declined', 'unavailable', 'disabled', 'failed'] as const;
export type SignInProblem = (typeof SIGN_IN_PROBLEMS)[number];

/** A name and a role fit; a tile shows no more. */
export const NAME_LENGTH_MAX = 64;

export function parseOptions(search: string): Options {
  const query = new URLSearchParams(search);
  const name = query.get('name')?.trim().slice(0, NAME_LENGTH_MAX);
  const spc = query.get('spc');
  return {
    autojoin: query.get('autojoin') === '1',
    name: name === '' ? undefined : name,
    video: query.get('video') === 'low' ? 'low' : 'hd',
    codec: CODECS.find((codec) => codec === query.get('codec')),
    singlePeerConnection: spc === '1' ? true : spc === '0' ? false : undefined,
    debug: query.get('debug') === '1',
    signInProblem: SIGN_IN_PROBLEMS.find((problem) => problem === query.get('problem')) ?? 'failed',
  };
}
