import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createHttps } from "node:https";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Http } from "../../lib/http.ts";
import { authorityHere, shownHere } from "../fixtures/tls.ts";

const servers: Server[] = [];
const http = new Http();
let asked: string[];
beforeEach(() => {
  asked = [];
});
afterEach(() => {
  http.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** Starts a server that redirects where `leadsTo` says, and records each request with its login. */
async function serve(name: string, leadsTo: (request: IncomingMessage) => string | undefined): Promise<string> {
  const server = createServer((request, response) => {
    asked.push(`${name} ${request.url} ${request.headers.authorization ?? "nobody"} ${request.headers.accept}`);
    const location = leadsTo(request);
    response.writeHead(location === undefined ? 200 : 307, location === undefined ? {} : { location }).end();
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a login goes on to another path of its server, and to no other server", async () => {
  const other = await serve("other", () => undefined);
  const first = await serve("first", ({ url }) => (url === "/a" ? "/b" : `${other}/c`));
  const headers = { Authorization: "Bearer x", accept: "text/plain" };
  const { status } = await http.send(`${first}/a`, { headers, timeoutMs: 10_000, redirects: 5 });
  expect(status).toBe(200);
  expect(asked).toEqual(["first /a Bearer x text/plain", "first /b Bearer x text/plain", "other /c nobody text/plain"]);
});

test("what nobody knows the digest of comes by HTTPS to its end, where it begins so", async () => {
  const plain = await serve("plain", () => undefined);
  const server = createHttps(shownHere("a"), (request, response) => {
    const location = request.url === "/a" ? "/b" : `${plain}/c`;
    response.writeHead(302, { location }).end();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const trusting = new Http({ ca: authorityHere("a") });
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/a`;
  const sent = (staysEncrypted: boolean) => trusting.send(url, { timeoutMs: 10_000, redirects: 5, staysEncrypted });
  try {
    expect((await sent(false)).status).toBe(200);
    expect(asked.splice(0)).toHaveLength(1);
    await expect(sent(true)).rejects.toThrow(/^its server leads to plain HTTP, at 127\.0\.0\.1:/);
    expect(asked).toEqual([]);
  } finally {
    trusting.close();
    server.closeAllConnections();
    server.close();
  }
});
