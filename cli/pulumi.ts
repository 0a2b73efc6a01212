import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { UserError } from "../lib/errors.ts";

/**
 * Runs the Pulumi CLI.
 *
 * @param cwd Folder of the Pulumi project.
 * @param output Whether its standard output is returned or shown. Standard error is shown if the output is.
 * @param env Further variables of its environment.
 * @returns Standard output; empty if it was shown.
 * @throws UserError if there is no Pulumi CLI, or if it fails.
 */
export async function pulumi(
  cwd: string,
  args: readonly string[],
  output: "read" | "show",
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const read = output === "read";
  const child = spawn("pulumi", args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["inherit", read ? "pipe" : "inherit", read ? "pipe" : "inherit"],
  });
  const closed = once(child, "close") as Promise<[number | null]>;
  const failed = (error: NodeJS.ErrnoException): never => {
    throw error.code === "ENOENT"
      ? new UserError("there is no `pulumi` on PATH: install the Pulumi CLI (https://www.pulumi.com/docs/install/)")
      : error;
  };
  const [said, errors, [code]] = await Promise.all([
    child.stdout ? text(child.stdout) : "",
    child.stderr ? text(child.stderr) : "",
    closed,
  ]).catch(failed);
  if (code !== 0) {
    const reason = errors.trim() || diagnosticsIn(said);
    throw new UserError(`pulumi ${args.slice(0, 2).join(" ")} ended with ${code}${reason ? `: ${reason}` : ""}`);
  }
  return said;
}

/** The errors in the output of a command with `--json`. */
function diagnosticsIn(said: string): string {
  try {
    const { diagnostics = [] } = JSON.parse(said) as { diagnostics?: { severity: string; message: string }[] };
    const errors = diagnostics.filter(({ severity }) => severity === "error");
    return errors.map(({ message }) => message.trim()).join("\n");
  } catch {
    return "";
  }
}
