/** What is asked to see that something works. `render/probe.ts` makes commands of it. */
export type Probe =
  /** The port takes connections. */
  | { kind: "tcp"; host: string; port: number }
  | HttpProbe
  /** A text protocol answers a line with a line that matches (ZooKeeper's four letter words). */
  | { kind: "line"; host: string; port: number; line: string; match: string }
  /** Any of several succeeds. */
  | { kind: "any"; of: readonly Probe[] }
  /** All of several succeed. */
  | { kind: "all"; of: readonly Probe[] };

/** A GET answers, and its answer (status line, headers and body) has a line that matches. */
export interface HttpProbe {
  kind: "http";
  host: string;
  port: number;
  path: string;
  /** Extended regular expression. */
  match: string;
  /** File of a service on the same machine that holds `user:password`, without a newline. @default no login */
  loginFile?: string;
  /** File of a service on the same machine with the certificate of whom to trust: asked by HTTPS then. @default plain HTTP */
  authorityFile?: string;
}

/** How to see that a service works. */
export interface Health {
  /** Asked where the service runs. */
  probe: Probe;
  intervalSeconds: number;
  timeoutSeconds: number;
  /** Time in which failures do not count yet. */
  startSeconds: number;
  retries: number;
}

const TIMING = { intervalSeconds: 5, timeoutSeconds: 5, startSeconds: 300, retries: 3 } as const;

/** A probe that connects to a port. */
export const tcp = (host: string, port: number): Probe => ({ kind: "tcp", host, port });

/**
 * A probe that sends a line and reads the answer.
 *
 * @param sent Line to send, with its newline where the protocol wants one.
 * @param match Extended regular expression that a line of the answer matches.
 */
export const line = (host: string, port: number, sent: string, match: string): Probe => ({
  kind: "line",
  host,
  port,
  line: sent,
  match,
});

/**
 * A probe that sends a GET.
 *
 * @param path Path and query.
 * @param match Extended regular expression that a line of the answer (status line, headers, body) matches.
 * @param files Login, and whom to trust. @default no login, plain HTTP
 */
export const http = (
  host: string,
  port: number,
  path: string,
  match: string,
  files: Pick<HttpProbe, "loginFile" | "authorityFile"> = {},
): HttpProbe => ({ kind: "http", host, port, path, match, ...files });

/** A probe that succeeds where one of several does. */
export const anyOf = (of: readonly Probe[]): Probe => ({ kind: "any", of });
/** A probe that succeeds where all of several do. */
export const allOf = (of: readonly Probe[]): Probe => ({ kind: "all", of });

/** The same timing for every service: what is slow to start has five minutes. */
export const healthOf = (probe: Probe): Health => ({ probe, ...TIMING });

/** Login files that a probe reads. */
export function loginFiles(probe: Probe): string[] {
  switch (probe.kind) {
    case "tcp":
    case "line":
      return [];
    case "http":
      return probe.loginFile === undefined ? [] : [probe.loginFile];
    case "any":
    case "all":
      return probe.of.flatMap(loginFiles);
  }
}
