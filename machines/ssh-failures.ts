import { UserError } from "../lib/errors.ts";

/** Why a machine was not reached by SSH, in words. */

/** Thrown where SSH cannot work at all, or a tunnel cannot be made; says what to do. */
export class SshError extends UserError {
  override name = "SshError";
}

/** Exit code of the `ssh` client itself. */
export const UNREACHABLE = 255;

export interface SshResult {
  /** Exit code of the command; 255 when the machine was not reached (`stderr` says why). */
  code: number;
  /** Whether nothing was run because the machine, or the bastion in front of it, did not show the host key that it has. */
  refused?: true;
  /** Whether nothing was run because the machine, or one on the way there, did not take the user's keys. */
  denied?: true;
  stdout: string;
  stderr: string;
}

export interface Failure {
  why: string;
  /** Whether a host key was not accepted. */
  refused?: true;
  /** Whether a login was not accepted. */
  denied?: true;
}

/** What OpenSSH says where a login is not accepted. */
export const DENIED = /Permission denied \(|Too many authentication failures|No supported authentication methods/;

export const lastLine = (text: string): string => text.trim().split("\n").at(-1) ?? "";

/** What OpenSSH says about a host key that it does not accept, put into words; `undefined` where it said something else. */
export function impostor(name: string, stderr: string): Failure | undefined {
  if (!stderr.includes("Host key verification failed")) return undefined;
  const why = stderr.includes("host key is known for")
    ? `${name}: no host key of this kind is known of it, so nothing is run there. The stack gives each machine its key: whatever answers is another machine, or one that an older release made (docs/SECURITY.md, Upgrades)`
    : `${name}: its host key is not the one that the stack gave it, so nothing is run there. Whatever answers is another machine, or it never read its user data`;
  return { why, refused: true };
}

export const unreached = (stdout: string, { why, refused, denied }: Failure): SshResult => ({
  code: UNREACHABLE,
  stdout,
  stderr: why,
  ...(refused ? { refused } : {}),
  ...(denied ? { denied } : {}),
});

export function notInstalled(error: Error): Error {
  return (error as NodeJS.ErrnoException).code === "ENOENT"
    ? new SshError("this machine has no ssh: install OpenSSH's client (openssh-client)")
    : error;
}
