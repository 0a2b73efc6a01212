import { printableJson, printableLines } from "./text.ts";

/** What commands do with the terminal that they run in: text, and Ctrl-C. */

/** Prints text of a command's result. What servers, machines and jobs have said in it steers no terminal. */
export const print = (text: string): void => void process.stdout.write(printableLines(text));

/** Prints one line of a command's result. */
export const say = (line: string): void => print(`${line}\n`);

/** Prints a command's result for programs. */
export const printJson = (value: unknown): void => void process.stdout.write(`${printableJson(value)}\n`);

/** Prints what is said beside a command's result. */
export const remark = (text: string): void => void process.stderr.write(printableLines(text));

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
