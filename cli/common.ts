import { fileURLToPath } from "node:url";
import { EnvironmentError } from "../config/load.ts";
import { ConfigError } from "../config/validate.ts";

/** Folder of `Pulumi.yaml`. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** An error whose message is all that a user needs. */
export class UserError extends Error {
  override name = "UserError";
}

/** Exit code of input that cannot be used; nothing was changed. */
export const EXIT_USAGE = 2;

/** Prints an error for people (message only) or for us (with its stack), and sets the exit code: 2 or 1. */
export function reportAndExit(error: unknown): void {
  const usage =
    error instanceof ConfigError ||
    error instanceof EnvironmentError ||
    (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS"));
  if (usage) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = EXIT_USAGE;
  } else if (error instanceof UserError) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  } else {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 1;
  }
}
