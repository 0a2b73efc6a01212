import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createSecureContext, getCACertificates } from "node:tls";

/**
 * An HTTP client based on `node:https` rather than `fetch`: a cloud's own certificate authority, a client
 * certificate and disabled verification are ordinary settings of `clouds.yaml`, and `fetch` supports none of them.
 */

export interface TlsSettings {
  /** Certificate authorities (PEM) instead of the system's. */
  ca?: string;
  /** Client certificate and key (PEM). */
  cert?: string;
  key?: string;
  /** Whether the server's certificate is checked; default true. */
  verify?: boolean;
}

export interface HttpRequest {
  method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  headers?: Record<string, string>;
  body?: string;
  /** Timeout of the whole exchange. Connecting may take at most 10 s of it. */
  timeoutMs: number;
  /** The number of redirects to follow; default 0, which returns them as answers. Another origin does not get `authorization`. */
  redirects?: number;
  /**
   * Whether to refuse redirects from HTTPS to plain HTTP, for content whose authenticity depends only on its server.
   * @default false
   */
  staysEncrypted?: boolean;
  /** Whether only status and headers are needed. The body is then not read. */
  headersOnly?: boolean;
  /** A stream for the body of a 200, which may have any size and is then not in the answer. */
  into?: () => Writable;
  /** Ends the exchange when aborted. */
  signal?: AbortSignal;
}

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** At most 64 MiB; `send` rejects a longer one. */
  body: string;
}

const MAX_BODY = 64 * 1024 * 1024;
/** Shorter than the whole timeout, because a lost connection shows sooner than a busy service answers. */
const CONNECT_MS = 10_000;

/** Keeps connections open between exchanges, and honours HTTP_PROXY, HTTPS_PROXY and NO_PROXY as `curl` does. */
export class Http {
  readonly #tls: TlsSettings;
  // Node 22.21 knows proxyEnv; its type declarations do not.
  readonly #common = { keepAlive: true, maxSockets: 16, proxyEnv: process.env };
  readonly #http = new HttpAgent(this.#common);
  #https: HttpsAgent | undefined;

  constructor(tls: TlsSettings = {}) {
    this.#tls = tls;
  }

  /** Made once, when first needed, because the system's certificates are many files. */
  #secureAgent(): HttpsAgent {
    const { ca, cert, key, verify } = this.#tls;
    this.#https ??= new HttpsAgent({
      ...this.#common,
      rejectUnauthorized: verify !== false,
      secureContext: createSecureContext({
        ca: ca ?? trusted(),
        ...(cert ? { cert } : {}),
        ...(key ? { key } : {}),
      }),
    });
    return this.#https;
  }

  /** Sends one request. Rejects with Node's own error (`ECONNREFUSED`, …) or a `TimeoutError` when there is no answer. */
  async send(url: string, options: HttpRequest): Promise<HttpAnswer> {
    if (url.startsWith("https:")) this.#secureAgent();
    const late = AbortSignal.timeout(options.timeoutMs);
    const signal = options.signal ? AbortSignal.any([late, options.signal]) : late;
    let target = new URL(url);
    let headers = options.headers ?? {};
    for (let left = options.redirects ?? 0; ; left--) {
      const answer = await this.#once(target, { ...options, headers }, signal);
      const location = answer.headers.location;
      if (left <= 0 || !location || ![301, 302, 303, 307, 308].includes(answer.status)) return answer;
      const next = new URL(location, target);
      if (options.staysEncrypted && target.protocol === "https:" && next.protocol !== "https:")
        throw new Error(`its server leads to plain HTTP, at ${next.host}`);
      if (next.origin !== target.origin) headers = withoutLogin(headers);
      target = next;
    }
  }

  #once(url: URL, options: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const secure = url.protocol === "https:";
      const request = (secure ? httpsRequest : httpRequest)(url, {
        method: options.method ?? "GET",
        agent: secure ? this.#secureAgent() : this.#http,
        signal,
        headers: {
          ...options.headers,
          ...(options.body === undefined ? {} : { "content-length": String(Buffer.byteLength(options.body)) }),
        },
      });
      request.on("socket", (socket) => {
        if (!socket.connecting) return;
        const late = Object.assign(new Error("no connection"), { code: "ETIMEDOUT" });
        const timer = setTimeout(() => request.destroy(late), CONNECT_MS);
        for (const event of ["connect", "close"]) socket.once(event, () => clearTimeout(timer));
      });
      // A timeout is an AbortError; the signal's reason tells the cause.
      request.on("error", (error) => reject(signal.aborted ? signal.reason : error));
      request.on("response", (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        const finish = (): void =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString("utf8"),
          });
        if (options.headersOnly) {
          finish();
          response.destroy();
          return;
        }
        if (options.into && response.statusCode === 200) {
          pipeline(response, options.into()).then(finish, (error: unknown) =>
            reject(signal.aborted ? signal.reason : error),
          );
          return;
        }
        response.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > MAX_BODY) response.destroy();
          else chunks.push(chunk);
        });
        response.on("error", (error) => reject(signal.aborted ? signal.reason : error));
        response.on("end", finish);
        response.on("close", () => {
          if (!response.complete) reject(Object.assign(new Error("the answer was cut short"), { code: "ECONNRESET" }));
        });
      });
      request.end(options.body);
    });
  }

  /** Closes idle connections, so that the program can end. */
  close(): void {
    this.#http.destroy();
    this.#https?.destroy();
  }
}

/** Removes the login, which is only for the first server and not for the target of its redirect. */
const withoutLogin = (headers: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== "authorization"));

/** Node trusts its own list of authorities; `curl`, Docker and Pulumi's provider trust the system's. This returns both. */
function trusted(): string[] {
  trustedOnce ??= [...new Set([...getCACertificates("default"), ...getCACertificates("system")])];
  return trustedOnce;
}
let trustedOnce: string[] | undefined;

/** The error in plain words, such as "connection refused". */
export function explain(error: unknown): string {
  const { code = "", name = "", message = String(error) } = error as { code?: string; name?: string; message?: string };
  if (name === "TimeoutError") return "no answer in time";
  switch (code) {
    case "ECONNREFUSED":
      return "connection refused";
    case "ECONNRESET":
    case "EPIPE":
      return "connection reset";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the host name is not known here";
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ETIMEDOUT":
      return "the host is not reachable from here";
    default:
      return isCertificateError(error) ? `the certificate is not trusted (${message})` : message || code || name;
  }
}

/** Whether a host, with or without a port, is this machine, so that nothing is sent over a network. */
export const isLoopback = (host: string): boolean => /^(localhost|127\.[\d.]+)(:|$)/.test(host);

/** Whether a request failed because its server's certificate is not trusted. */
export function isCertificateError(error: unknown): boolean {
  const code = String((error as { code?: unknown }).code ?? "");
  return /CERT|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)/.test(code);
}
