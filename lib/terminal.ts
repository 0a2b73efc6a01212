import { printableJson, printableLines } from "./text.ts";

/** Output to the terminal, and Ctrl-C. */

/** Prints text of a command's result. Control characters from servers, machines and jobs are escaped. */
export const print = (text: string): void => void process.stdout.write(printableLines(text));

/** Prints one line of a command's result. */
export const say = (line: string): void => print(`${line}\n`);

/** Prints a command's result for programs. */
export const printJson = (value: unknown): void => void process.stdout.write(`${printableJson(value)}\n`);

/** Prints a message that is not part of a command's result. */
export const remark = (text: string): void => void process.stderr.write(printableLines(text));

/** An abort signal that Ctrl-C triggers. */
export interface Interruption {
  signal: AbortSignal;
  /** Restores the default, with which Ctrl-C ends the program. */
  stop(): void;
}

export interface InterruptOptions {
  /** Called at the first Ctrl-C. @default nothing */
  first?: () => void;
  /** The error that aborted work throws. @default an `AbortError` */
  reason?: Error;
}

/** Lets Ctrl-C or SIGTERM abort work, which then cleans up. A second one does not end the clean-up. */
export function abortOnInterrupt({ first, reason }: InterruptOptions = {}): Interruption {
  const abort = new AbortController();
  const onSignal = (): void => {
    if (!abort.signal.aborted) first?.();
    abort.abort(reason);
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  return { signal: abort.signal, stop: () => void process.off("SIGINT", onSignal).off("SIGTERM", onSignal) };
}
