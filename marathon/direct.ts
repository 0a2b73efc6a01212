import type { MarathonHttp } from "./apply.ts";

/** Marathon as this machine reaches it directly, without SSH. */
export function direct(address: string, login: string, signal?: AbortSignal): MarathonHttp {
  const authorization = `Basic ${Buffer.from(login).toString("base64")}`;
  return async ({ method, path, body }) => {
    const timeout = AbortSignal.timeout(30_000);
    try {
      const response = await fetch(`http://${address}${path}`, {
        method,
        // It is an answer: whoever it leads to would be sent the request.
        redirect: "manual",
        headers: { authorization, ...(body ? { "content-type": "application/json" } : {}) },
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
        ...(body ? { body } : {}),
      });
      return { status: response.status, body: await response.text() };
    } catch (error) {
      signal?.throwIfAborted();
      const cause = (error as { cause?: unknown }).cause ?? error;
      return { status: 0, body: cause instanceof Error ? cause.message : String(cause) };
    }
  };
}
