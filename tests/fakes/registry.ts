import { createHash, randomUUID } from "node:crypto";
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

/**
 * A registry of container images, for tests only: what Docker needs to push and to pull (the OCI distribution interface), and
 * the two ways in which a real one says no.
 */
export class Registry {
  /** Answers every request for a manifest with 429, as Docker Hub does after a hundred pulls. */
  limited = false;
  /** Requires a token, which anyone can get. */
  tokens = false;
  /** Requests for manifests, as method and address. */
  readonly log: string[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "triplewide-registry-"));
  /** Digest and kind of a manifest, by repository and tag or digest. */
  readonly #manifests = new Map<string, { digest: string; kind: string }>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        response.writeHead(500).end(String(error));
      });
    });
  }

  static async start(): Promise<Registry> {
    const registry = new Registry();
    mkdirSync(join(registry.#folder, "blobs"));
    await new Promise<void>((done) => registry.#server.listen(0, "127.0.0.1", done));
    return registry;
  }

  /** Host and port, as they stand before an image's name. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #blob(digest: string): string {
    return join(this.#folder, "blobs", digest.replace(/[^a-z0-9]/g, "-"));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", "http://registry");
    const { method = "GET" } = request;
    const say = (status: number, headers: Record<string, string> = {}, body = ""): void =>
      void response.writeHead(status, headers).end(body);
    const refuse = (status: number, code: string, message: string): void =>
      say(status, { "content-type": "application/json" }, JSON.stringify({ errors: [{ code, message }] }));
    if (url.pathname === "/token") return say(200, {}, JSON.stringify({ token: "for-everyone" }));
    if (this.tokens && request.headers.authorization !== "Bearer for-everyone") {
      const realm = `Bearer realm="http://${this.host}/token",service="registry"`;
      return say(401, { "www-authenticate": realm });
    }
    if (url.pathname === "/v2/") return say(200);
    const [, name = "", kind = "", rest = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/(.*)$/.exec(url.pathname) ?? [];
    if (kind === "manifests") {
      this.log.push(`${method} ${url.pathname}`);
      if (this.limited) return refuse(429, "TOOMANYREQUESTS", "You have reached your unauthenticated pull rate limit.");
      if (method === "PUT") {
        const body = await bodyOf(request);
        const digest = `sha256:${createHash("sha256").update(body).digest("hex")}`;
        await writeFile(this.#blob(digest), body);
        for (const reference of [rest, digest])
          this.#manifests.set(`${name}/${reference}`, { digest, kind: String(request.headers["content-type"]) });
        return say(201, { "docker-content-digest": digest });
      }
      const manifest = this.#manifests.get(`${name}/${rest}`);
      if (!manifest) return refuse(404, "MANIFEST_UNKNOWN", "manifest unknown");
      const body = await readFile(this.#blob(manifest.digest));
      response.writeHead(200, {
        "content-type": manifest.kind,
        "content-length": body.length,
        "docker-content-digest": manifest.digest,
      });
      return void response.end(method === "HEAD" ? undefined : body);
    }
    if (rest.startsWith("uploads")) {
      const part = join(this.#folder, rest.split("/")[1] || randomUUID());
      const location = { location: `/v2/${name}/blobs/uploads/${part.split("/").at(-1)}`, range: "0-0" };
      if (method === "POST") {
        await writeFile(part, "");
        return say(202, location);
      }
      await pipeline(request, createWriteStream(part, { flags: "a" }));
      if (method === "PATCH") return say(202, { ...location, range: `0-${statSync(part).size - 1}` });
      const digest = url.searchParams.get("digest") ?? "";
      renameSync(part, this.#blob(digest));
      return say(201, { "docker-content-digest": digest });
    }
    const file = this.#blob(rest);
    if (!existsSync(file)) return refuse(404, "BLOB_UNKNOWN", "blob unknown");
    response.writeHead(200, { "content-length": statSync(file).size, "docker-content-digest": rest });
    if (method === "HEAD") return void response.end();
    await pipeline(createReadStream(file), response);
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
