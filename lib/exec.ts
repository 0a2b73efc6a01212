import { spawn } from "node:child_process";
import { EXIT_FAILED, EXIT_INTERRUPTED } from "./errors.ts";

export interface InteractiveOptions {
  /** Ends the program when aborted. */
  signal?: AbortSignal;
  /** Further variables of its environment. */
  env?: Readonly<Record<string, string>>;
}

/**
 * Runs a program with this terminal's input and output.
 *
 * @returns Its exit code; 130 where a signal ended it.
 * @throws Error when the program cannot be started (`code` is `ENOENT` where there is none of that name).
 */
export function interactive(
  program: string,
  args: readonly string[],
  { signal, env }: InteractiveOptions = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, ...env } });
    const stop = (): void => void child.kill("SIGTERM");
    signal?.addEventListener("abort", stop, { once: true });
    child.on("error", reject);
    child.on("close", (code, killedBy) => {
      signal?.removeEventListener("abort", stop);
      resolve(code ?? (killedBy ? EXIT_INTERRUPTED : EXIT_FAILED));
    });
  });
}

/**
 * Runs a program quietly, without input.
 *
 * @param signal Ends the program when aborted.
 * @param env Further variables of its environment.
 * @returns Exit code (1 where a signal ended it), standard output and standard error as they came, and standard output alone, which
 * is what to parse.
 * @throws Error when the program cannot be started (`code` is `ENOENT` where there is none of that name).
 */
export function captured(
  program: string,
  args: readonly string[],
  signal?: AbortSignal,
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number; output: string; stdout: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    let [output, stdout] = ["", ""];
    // Chunks are decoded as a stream, because a character may begin in one and end in the next.
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    const stop = (): void => void child.kill("SIGTERM");
    signal?.addEventListener("abort", stop, { once: true });
    child.on("error", reject);
    child.on("close", (code) => {
      signal?.removeEventListener("abort", stop);
      resolve({ code: code ?? EXIT_FAILED, output, stdout });
    });
  });
}
