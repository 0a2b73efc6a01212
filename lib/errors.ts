import { printableLines } from "./text.ts";

/** Exit code of a command that failed. */
export const EXIT_FAILED = 1;

/** Exit code of input that cannot be used; nothing was changed. */
export const EXIT_USAGE = 2;

/** Exit code of what a signal ended, as shells have it for Ctrl-C. */
export const EXIT_INTERRUPTED = 130;

/** An error whose message is all that a user needs: it is shown without a stack. */
export class UserError extends Error {
  override name = "UserError";
  /** Exit code of a program that ends with it. @default 1 */
  readonly exitCode: number = EXIT_FAILED;
  /** @param message May quote what a server, a machine or a job has said. */
  constructor(message: string, options?: ErrorOptions) {
    super(printableLines(message), options);
  }
}

/** The input cannot be used, and nothing was changed: the user has to correct it. Exit code 2. */
export class UsageError extends UserError {
  override name = "UsageError";
  override readonly exitCode: number = EXIT_USAGE;
}

/** What the command is about is not there: no cluster runs, or none was made. */
export class NotThere extends UserError {
  override name = "NotThere";
}

/** What a program prints for an error, and its exit code. A `UserError` is its message; any other error is a fault of ours, shown with its stack. */
export function describeError(error: unknown): { text: string; exitCode: number } {
  if (error instanceof UserError) return { text: error.message, exitCode: error.exitCode };
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { text, exitCode: EXIT_FAILED };
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
