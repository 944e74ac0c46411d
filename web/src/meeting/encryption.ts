/**
 * End-to-end encryption: the key that the participants share, and the client library's machinery for it. The key stands in
 * the fragment of the address beside the invitation (`#TOKEN&e2ee=KEY`), which no server ever sees. It is never stored.
 */
import { CryptorError, CryptorErrorReason, ExternalE2EEKeyProvider, isE2EESupported, type Room, type RoomOptions } from 'livekit-client';
import EncryptionWorker from 'livekit-client/e2ee-worker?worker';

const PARAMETER = 'e2ee=';

/** Parts a fragment into the invitation, which may be missing, and the key. */
export function partFragment(fragment: string): { invitation: string; key: string | undefined } {
  const parts = fragment.replace(/^#/, '').split('&');
  const key = parts.find((part) => part.startsWith(PARAMETER))?.slice(PARAMETER.length);
  const invitation = parts.filter((part) => !part.startsWith(PARAMETER)).join('&');
  return { invitation, key: key === undefined || key === '' ? undefined : decode(key) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A percent sign that nobody escaped is part of the key.
    return text;
  }
}

/** The worker of one page, for all of its meetings. */
export class Encryption {
  private readonly keys = new ExternalE2EEKeyProvider();
  private readonly worker = new EncryptionWorker();

  constructor(private readonly key: string) {}

  static get isSupported(): boolean {
    return isE2EESupported();
  }

  /** Media and messages alike. */
  get roomOptions(): Pick<RoomOptions, 'encryption'> {
    return { encryption: { keyProvider: this.keys, worker: this.worker } };
  }

  async enable(room: Room): Promise<void> {
    await this.keys.setKey(this.key);
    await room.setE2EEEnabled(true);
  }
}

/** A wrong key fails for every frame; a single one may fail for other reasons. */
const FAILURES_MIN = 3;
const FAILURES_WITHIN_MS = 5_000;

/** Tells a wrong key from a single frame that could not be decrypted. */
export class Failures {
  private readonly last = new Map<string, { count: number; at: number }>();

  /** Takes an error of the library in; whose key is wrong, if that is what it means. */
  note(error: Error, identity: string | undefined, now: number): string | undefined {
    const whose = identity ?? (error instanceof CryptorError ? error.participantIdentity : undefined);
    if (whose === undefined || (error instanceof CryptorError && error.reason !== CryptorErrorReason.InvalidKey)) return undefined;
    const before = this.last.get(whose);
    const count = before !== undefined && now - before.at < FAILURES_WITHIN_MS ? before.count + 1 : 1;
    this.last.set(whose, { count, at: now });
    return count >= FAILURES_MIN ? whose : undefined;
  }
}
