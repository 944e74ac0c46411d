/** When to try again after a connection was lost. */
import type { ReconnectContext, ReconnectPolicy } from 'livekit-client';

/** The first attempt comes at once, but not everybody's in the same instant. */
const FIRST_WITHIN_MS = 300;
/** The library's own pauses grow to seven seconds; a network that is back would then go unnoticed for as long. */
const SHORTEST_MS = 250;
const LONGEST_MS = 1_500;
/** Three quarters of a minute without a server, and more on a network that swallows everything. */
const ATTEMPTS_MAX = 30;

export class Patience implements ReconnectPolicy {
  constructor(private readonly random: () => number = Math.random) {}

  /** Counts attempts, not time: a computer that was asleep has not tried yet. */
  nextRetryDelayInMs({ retryCount }: ReconnectContext): number | null {
    if (retryCount >= ATTEMPTS_MAX) return null;
    if (retryCount === 0) return this.random() * FIRST_WITHIN_MS;
    const pause = Math.min(LONGEST_MS, SHORTEST_MS * 2 ** (retryCount - 1));
    // Half to one and a half times: people who were cut off together come back one after the other.
    return pause * (0.5 + this.random());
  }
}

/** How long one attempt may wait for an answer: a bad mobile line's five round trips. */
export const ANSWER_WITHIN_MS = 5_000;
