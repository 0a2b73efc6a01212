/** What commands do with the terminal that they run in: lines of text, and Ctrl-C. */

/** Prints one line of a command's result. */
export const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** A signal that Ctrl-C aborts. */
export interface Interruption {
  signal: AbortSignal;
  /** Lets Ctrl-C end the program again. */
  stop(): void;
}

export interface InterruptOptions {
  /** Called at the first Ctrl-C. @default nothing */
  first?: () => void;
  /** What work that is aborted throws. @default an `AbortError` */
  reason?: Error;
}

/** Has Ctrl-C, or SIGTERM, abort work that then cleans up. A second one does not end the cleaning up. */
export function abortOnInterrupt({ first, reason }: InterruptOptions = {}): Interruption {
  const abort = new AbortController();
  const onSignal = (): void => {
    if (!abort.signal.aborted) first?.();
    abort.abort(reason);
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  return { signal: abort.signal, stop: () => void process.off("SIGINT", onSignal).off("SIGTERM", onSignal) };
}
