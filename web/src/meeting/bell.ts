/**
 * The lobby's bell: it rings when something about somebody who waits may have changed. Browsers let the timers of a page that
 * nobody looks at run once a minute; what comes over the network is heard at once. What changed, the lobby is asked.
 */
export class Bell {
  private readonly over = new AbortController();
  private isRung = false;
  private wake: (() => void) | undefined;

  constructor(ticket: string) {
    void this.listen(ticket);
  }

  /** Until the next ring since the last call, or until `signal`, but no longer than so. */
  wait(longestMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        [this.wake, this.isRung] = [undefined, false];
        resolve();
      };
      const timer = setTimeout(done, signal.aborted || this.isRung ? 0 : longestMs);
      signal.addEventListener('abort', done);
      this.wake = done;
    });
  }

  close(): void {
    this.over.abort();
  }

  /** Where the server has no bell to spare, or the line breaks, there is none, and whoever waits asks now and then. */
  private async listen(ticket: string): Promise<void> {
    const request = { headers: { authorization: `Bearer ${ticket}` }, signal: this.over.signal };
    try {
      const answer = await fetch('/api/v1/lobby/events', { ...request, credentials: 'omit', cache: 'no-store' });
      const reader = answer.ok ? answer.body?.getReader() : undefined;
      // The comments that keep the stream alive ring too: one question more in a quarter of a minute.
      while (reader !== undefined && !(await reader.read()).done) {
        this.isRung = true;
        this.wake?.();
      }
    } catch {
      // As without a bell.
    }
  }
}
