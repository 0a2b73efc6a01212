import type { Health } from "./types.ts";

/**
 * Health probes. All are bash and nothing else (`/dev/tcp`), because bash is what every image and every guest has.
 */

const TIMING = { intervalSeconds: 5, timeoutSeconds: 5, startSeconds: 300, retries: 3 } as const;

function bash(script: string): string[] {
  return ["bash", "-c", script];
}

/** The port takes connections. */
export function tcpProbe(host: string, port: number): string[] {
  return bash(`exec 3<>/dev/tcp/${host}/${port}`);
}

/**
 * A GET answers, and its answer (status line, headers and body) has a line that matches.
 *
 * @param pattern Extended regular expression without single quotes.
 * @param loginFile File that holds `user:password` (no newline) where the service asks for them.
 */
export function httpProbe(host: string, port: number, path: string, pattern: string, loginFile = ""): string[] {
  const login = loginFile === "" ? "" : `Authorization: Basic '"$(base64 -w0 ${loginFile})"'\\r\\n`;
  return bash(
    `exec 3<>/dev/tcp/${host}/${port} && printf 'GET ${path} HTTP/1.0\\r\\nHost: ${host}\\r\\n${login}\\r\\n' >&3 && grep -Eq '${pattern}' <&3`,
  );
}

/** A text protocol answers a line with a line that matches (ZooKeeper's four letter words). */
export function lineProbe(host: string, port: number, line: string, pattern: string): string[] {
  return bash(`exec 3<>/dev/tcp/${host}/${port} && printf '${line}' >&3 && grep -Eq '${pattern}' <&3`);
}

/** Any of several commands succeeds. */
export function anyOf(commands: string[][]): string[] {
  return bash(commands.map((c) => `(${c[2]}) 2>/dev/null`).join(" || "));
}

/** All of several commands succeed. */
export function allOf(commands: string[][]): string[] {
  return bash(commands.map((c) => `(${c[2]})`).join(" && "));
}

export function healthOf(command: string[], overrides: Partial<Omit<Health, "command">> = {}): Health {
  return { command, ...TIMING, ...overrides };
}
