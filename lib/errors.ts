import { printableLines } from "./text.ts";

/** Exit code of a command that failed. */
export const EXIT_FAILED = 1;

/** Exit code of input that cannot be used; nothing was changed. */
export const EXIT_USAGE = 2;

/** Exit code of a command that a signal ended, as in shells for Ctrl-C. */
export const EXIT_INTERRUPTED = 130;

/** An error whose message is all that a user needs. It is shown without a stack trace. */
export class UserError extends Error {
  override name = "UserError";
  /** Exit code of a program that ends with it. @default 1 */
  readonly exitCode: number = EXIT_FAILED;
  /** @param message May quote text from a server, a machine or a job. */
  constructor(message: string, options?: ErrorOptions) {
    super(printableLines(message), options);
  }
}

/** The input is not valid, and nothing was changed. The user has to correct it. Exit code 2. */
export class UsageError extends UserError {
  override name = "UsageError";
  override readonly exitCode: number = EXIT_USAGE;
}

/** The command's object does not exist: no cluster runs, or none was made. */
export class NotThere extends UserError {
  override name = "NotThere";
}

/** The text and exit code for an error. A `UserError` is shown as its message; any other error is a bug, shown with its stack trace. */
export function describeError(error: unknown): { text: string; exitCode: number } {
  if (error instanceof UserError) return { text: error.message, exitCode: error.exitCode };
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { text, exitCode: EXIT_FAILED };
}

/** The message of any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
