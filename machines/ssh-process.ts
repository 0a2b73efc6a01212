import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { notInstalled } from "./ssh-failures.ts";

/** Processes of the `ssh` client: what they say, how they end, and that none is left behind. */

/** Characters of a command's output that are kept; what is left of a piece is kept as well. */
const MAX_OUTPUT = 1024 * 1024;

/** Collects what a stream says, up to that length. */
export function collect(stream: NodeJS.ReadableStream | null): () => string {
  let text = "";
  stream?.setEncoding("utf8");
  stream?.on("data", (chunk: string) => {
    if (text.length < MAX_OUTPUT) text += chunk;
  });
  return () => text;
}

/** Waits until the session is open. Returns why that failed; empty where it did not. */
export function opened(child: ChildProcess): Promise<string> {
  return new Promise((resolvePromise, reject) => {
    const stderr = collect(child.stderr);
    child.stdout?.once("data", () => resolvePromise(""));
    child.once("error", (error) => reject(notInstalled(error)));
    child.once("close", (code) => resolvePromise(stderr().trim() || `ssh ended with code ${code}`));
  });
}

/** Sends a signal to a client and to the processes that it started. */
export function signal(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch {
    // All of them have ended.
  }
}

/** Lets the session end by itself, and makes it end when it does not. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.stdin?.end();
  const timer = setTimeout(() => signal(child, "SIGKILL"), 2000);
  await exited;
  clearTimeout(timer);
}

/** Clean-up for a program that ends, or is killed by a signal, before it has called `close`. */
export const cleanUpAtExit = new (class {
  readonly #tasks = new Set<() => void>();
  readonly #run = (): void => {
    for (const task of this.#tasks) task();
  };
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#run();
    // A listener replaces Node's default, which is to end the process. If there are other listeners, they decide.
    if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
  };

  add(task: () => void): void {
    if (this.#tasks.size === 0) {
      process.on("exit", this.#run);
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, this.#onSignal);
    }
    this.#tasks.add(task);
  }

  delete(task: () => void): void {
    if (!this.#tasks.delete(task) || this.#tasks.size > 0) return;
    process.off("exit", this.#run);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, this.#onSignal);
  }
})();
