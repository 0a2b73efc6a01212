import { once } from "node:events";
import { type IncomingMessage, request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import { connect, getCACertificates, setDefaultCACertificates } from "node:tls";
import { expect, test } from "vitest";
import { certificateOf } from "../../cluster/services/gateway/authority.ts";
import { eventually, type TestCluster } from "./harness.ts";

/** Uses a cluster's gateway as a browser does, and as an attacker does. */
export class Door {
  readonly address: string;
  readonly #cluster: TestCluster;
  #cookie = "";
  #link: Promise<string> | undefined;

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
    const port = cluster.settings.find((text) => text.startsWith("gatewayPort="))?.split("=")[1];
    this.address = `${this.encrypted ? "https" : "http"}://127.0.0.1:${port}`;
  }

  get encrypted(): boolean {
    return this.#cluster.settings.includes("tls=own");
  }

  /** Makes this process trust the cluster's authority, as users do with their browser. */
  async trust(): Promise<void> {
    if (!this.encrypted) return;
    const { code, output } = await this.#cluster.cli("certificate");
    expect(code, output).toBe(0);
    setDefaultCACertificates([...getCACertificates("default"), output]);
  }

  /** Connects by TLS. @param ca The only trusted authority. @returns The error, or the negotiated version. */
  handshake(ca: string, options: { servername?: string; maxVersion?: "TLSv1.1" } = {}): Promise<string> {
    const { hostname: host, port } = new URL(this.address);
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = connect({ host, port: Number(port), ca, minVersion: "TLSv1", ...options }, () => {
      resolve(socket.getProtocol() ?? "none");
      socket.end();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    return promise;
  }

  /** The link that `notebook` prints. */
  link(): Promise<string> {
    this.#link ??= this.#cluster.cli("notebook").then(({ output }) => output.trim());
    return this.#link;
  }

  /** Logs in as the login page does. */
  session(password: string): Promise<Response> {
    return fetch(`${this.address}/session`, { method: "POST", headers: { Authorization: `Bearer ${password}` } });
  }

  async logIn(): Promise<void> {
    const answer = await this.session((await this.link()).split("#")[1] ?? "");
    expect(answer.status).toBe(204);
    if (this.encrypted) expect(answer.headers.get("set-cookie")).toMatch(/; HttpOnly; SameSite=Lax; Secure$/);
    this.#cookie = (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  }

  get(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(new URL(path, this.address), { ...init, headers: { ...init.headers, Cookie: this.#cookie } });
  }

  /**
   * Requests a path exactly as it is written; `fetch` would normalize it.
   *
   * @param fetched The browser's Sec-Fetch headers. @default none
   * @returns The status and the redirect's target.
   */
  async raw(path: string, fetched?: [site: string, mode: string, dest: string]): Promise<[number, string | undefined]> {
    const { hostname, port } = new URL(this.address);
    const [site = [], mode = [], dest = []] = fetched ?? [];
    const said = { "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest };
    const headers = { Cookie: this.#cookie, ...(fetched ? said : {}) };
    const request = (this.encrypted ? tlsRequest : plainRequest)({ hostname, port, path, headers, agent: false }).end();
    const [answer] = (await once(request, "response")) as [IncomingMessage];
    answer.destroy();
    return [answer.statusCode ?? 0, answer.headers.location];
  }

  /** Opens a page and the files that it needs. @returns The files that do not open. */
  async broken(path: string): Promise<string[]> {
    const page = await this.get(path);
    if (page.status !== 200) return [`${path}: ${page.status}`];
    const html = await page.text();
    const needed = [...html.matchAll(/<(?:script|img|link)[^>]*?\s(?:src|href)=['"]([^'"#]+)['"]/g)].map(
      (m) => m[1] ?? "",
    );
    const files = needed.map((file) => new URL(file, page.url)).filter(({ protocol }) => protocol !== "data:");
    const answers = await Promise.all(
      files.map(async ({ href, origin }) => (origin === this.address ? (await this.get(href)).status : href)),
    );
    return answers.flatMap((status, i) => (status === 200 ? [] : [`${path}: ${files[i]?.href} ${status}`]));
  }

  /**
   * Opens a WebSocket.
   *
   * @param answer Computes the result from the messages so far; `undefined` waits for the next. @default the output of a kernel
   * @returns The result, or that the connection was refused.
   */
  async socket(path: string, origin: string, sent?: object, answer: Answer = printed): Promise<string> {
    const headers = { Cookie: this.#cookie, Origin: origin };
    // Node's own WebSocket accepts headers, which its types do not declare.
    const Socket = WebSocket as unknown as new (url: string, options: { headers: Record<string, string> }) => WebSocket;
    const socket = new Socket(`${this.address.replace("http", "ws")}${path}`, { headers });
    const { promise, resolve } = Promise.withResolvers<string>();
    const messages: unknown[] = [];
    socket.onopen = () => (sent === undefined ? resolve("open") : socket.send(JSON.stringify(sent)));
    socket.onerror = () => resolve("refused");
    socket.onclose = () => resolve(`closed after: ${JSON.stringify(messages)}`);
    socket.onmessage = ({ data }) => {
      messages.push(JSON.parse(String(data)));
      const found = answer(messages);
      if (found !== undefined) resolve(found);
    };
    try {
      return await promise;
    } finally {
      socket.close();
    }
  }
}

type Answer = (messages: readonly unknown[]) => string | undefined;

/** The output of a kernel. */
const printed: Answer = (messages) => {
  const { msg_type, content } = messages.at(-1) as { msg_type: string; content: { text: string } };
  return msg_type === "stream" ? content.text : undefined;
};

/** The output of a terminal once it contains a text. */
const shown =
  (text: RegExp): Answer =>
  (messages) => {
    const screen = (messages as string[][]).map(([kind, part]) => (kind === "stdout" ? part : "")).join("");
    return text.exec(screen)?.[0];
  };

/** The message with which JupyterLab lets a kernel run a line. */
const executeRequest = (code: string): object => ({
  channel: "shell",
  header: { msg_id: "1", username: "t", session: "t", msg_type: "execute_request", version: "5.3", date: "" },
  parent_header: {},
  metadata: {},
  content: { code, silent: false, store_history: false, user_expressions: {}, allow_stdin: false },
  buffers: [],
});

/** Tests of the gateway of a cluster that is up. @param titles The titles of its pages. */
export function theDoor(cluster: TestCluster, titles: readonly string[]): void {
  const door = new Door(cluster);

  test("the gateway speaks TLS 1.2 at least, to those who trust the cluster's authority, and sends plain HTTP there", async () => {
    await expect(fetch(`${door.address}/health`)).rejects.toMatchObject({ cause: { code: /SELF_SIGNED|UNABLE_TO/ } });
    const another = certificateOf("another stack's secret", cluster.name, "localhost,127.0.0.1");
    expect(await door.handshake(another)).toMatch(/SELF_SIGNED|UNABLE_TO|BAD_SIGNATURE|SIGNATURE_FAILURE/);
    const own = (await cluster.cli("certificate")).output;
    expect(await door.handshake(own)).toBe("TLSv1.3");
    expect(await door.handshake(own, { servername: "localhost" })).toBe("TLSv1.3");
    expect(await door.handshake(own, { maxVersion: "TLSv1.1" })).toMatch(/PROTOCOL_VERSION|NO_PROTOCOLS/);
    await door.trust();
    const plain = `${door.address.replace("https", "http")}/jupyter/lab?a=b`;
    const sent = await fetch(plain, { redirect: "manual" });
    expect([sent.status, sent.headers.get("location")]).toEqual([308, plain.replace("http", "https")]);
  });

  test("the gateway shows nothing of the cluster without its password", async () => {
    for (const path of ["/", "/cluster.json", "/jupyter/api/status", "/jupyter/lab", "/spark/", "/hdfs/", "/nothing"]) {
      const answer = await fetch(door.address + path, { headers: { Accept: "text/html" } });
      expect(answer.status, path).toBe(401);
      expect(await answer.text(), path).toContain("Password of this cluster");
    }
    const password = (await door.link()).split("#")[1] ?? "";
    expect(password).toMatch(/^[A-Za-z0-9]{32}$/);
    for (const wrong of [
      "",
      "x",
      password.toLowerCase(),
      password.slice(0, -1),
      `${password}x`,
      "*",
      `${password.slice(0, 5)}*`,
    ]) {
      const answer = await door.session(wrong);
      expect([answer.status, answer.headers.get("set-cookie")], wrong).toEqual([401, null]);
    }
    const forged = await fetch(`${door.address}/cluster.json`, { headers: { Cookie: `triplewide-${cluster.name}=x` } });
    expect(forged.status).toBe(401);
  });

  test("every page that the landing page lists opens through the gateway, with all that it needs", async () => {
    await door.logIn();
    const { pages } = (await (await door.get("/cluster.json")).json()) as { pages: { title: string; path: string }[] };
    expect(pages.map(({ title }) => title).sort()).toEqual([...titles].sort());
    const paths = ["/", ...pages.map(({ path }) => `/${path}/`)];
    expect((await Promise.all(paths.map((path) => door.broken(path)))).flat()).toEqual([]);
  });

  test("a job's page, its executors' logs and the way back open from the master's page", async () => {
    await cluster.bring("held_job.py");
    const job = cluster.exec("client", ["python3", "/tmp/held_job.py"]);
    const html = async (path: string) => (await door.get(path)).text();
    const linkIn = (text: string, link: RegExp) => (link.exec(text)?.[1] ?? "none").replaceAll("&amp;", "&");
    try {
      const master = await eventually(
        "a job",
        300,
        () => html("/spark/"),
        (text) => text.includes("/proxy/app-"),
      );
      const jobs = linkIn(master, /href="([^"]*\/proxy\/app-[^"]*)"/);
      await eventually(
        "the job's own page",
        300,
        () => html(jobs),
        (text) => text.includes("Spark Jobs"),
      );
      const app = await html(`/spark/${linkIn(master, /href="(app\/[^"]*)"/)}`);
      expect(app).toContain("Application");
      const worker = await html(linkIn(master, /href="([^"]*\/proxy\/worker-[^"]*)"/));
      expect(await html(linkIn(worker, /href="([^"]*logPage[^"]*stderr[^"]*)"/))).toContain("Back to Master");
      expect(linkIn(worker, /<a href="([^"]*)">Back to Master/)).toBe("/spark/");
    } finally {
      await cluster.exec("client", ["touch", "/tmp/enough"]);
      await job;
    }
  });

  test("a page of another site can change nothing through the gateway, and open no kernel's WebSocket", async () => {
    const kernels = "/jupyter/api/kernels";
    const foreign = { method: "POST", headers: { Origin: "http://evil.example" } };
    expect((await door.get(kernels, foreign)).status).toBe(403);
    expect((await door.get(kernels, { ...foreign, headers: { Origin: "null" } })).status).toBe(403);
    // Browsers send no Origin header when a user follows a link, and Spark ends jobs at such a GET.
    const kills = ["/spark/proxy/app-1/jobs/job/kill/?id=0", "/jupyter/proxy/4040/stages/stage/kill/?id=0"];
    // Spark accepts any text after `kill` as the same path.
    for (const path of [...kills, ...kills.map((one) => one.replace("?", "x?"))]) {
      const said = async (headers: Record<string, string>) => (await door.get(path, { headers })).text();
      expect(await said({}), path).toContain("Asked for by another site");
      expect(await said({ "Sec-Fetch-Site": "cross-site" }), path).toContain("Asked for by another site");
      expect(await said({ "Sec-Fetch-Site": "same-origin" }), path).not.toContain("Asked for by another site");
    }
    // The gateway refuses fetches, scripts and frames of other pages: browsers send the cookie with them if only the port differs. Links pass.
    for (const site of ["cross-site", "same-site"]) {
      expect(await door.raw("/jupyter/api/status", [site, "no-cors", "script"]), site).toEqual([403, undefined]);
      expect(await door.raw("/jupyter/api/status", [site, "navigate", "iframe"]), site).toEqual([403, undefined]);
      expect(await door.raw("/jupyter/api/status", [site, "navigate", "document"]), site).toEqual([200, undefined]);
    }
    const made = await door.get(kernels, { method: "POST", headers: { Origin: door.address } });
    expect(made.status).toBe(201);
    const { id } = (await made.json()) as { id: string };
    const channels = `${kernels}/${id}/channels?session_id=t`;
    expect(await door.socket(channels, "http://evil.example")).toBe("refused");
    // Behind the gateway Jupyter asks for no token, and its kernel sees no user's cookie.
    expect(await door.socket(channels, door.address, executeRequest("print(6 * 7)"))).toBe("42\n");
    expect((await door.get(`${kernels}/${id}`, { method: "DELETE" })).status).toBe(204);
  });

  test("no way of writing a path leads around the gateway's rules, or to another site", async () => {
    const link: [string, string, string] = ["cross-site", "navigate", "document"];
    for (const path of ["/jupyter/proxy/4040/jobs/job/kill;/?id=0", "/spark/proxy;x/app-1/jobs/job/kill/?id=0"])
      expect(await door.raw(path, link), path).toEqual([400, undefined]);
    expect(await door.raw("/jupyter/proxy/4040/jobs/job/%256bill/?id=0", link)).toEqual([400, undefined]);
    for (const path of ["//evil.example/..%2fjupyter", "/%5cevil.example/..%2fjupyter", "//jupyter", "/jupyter"])
      expect(await door.raw(path), path).toEqual([308, "/jupyter/"]);
    // The gateway passes on the rest of the path and the query unchanged.
    expect(await door.raw("/jupyter/api/status?a=b;c%25")).toEqual([200, undefined]);
  });

  test("a terminal of JupyterLab, and a login shell, have Spark and its Python", async () => {
    const terminals = "/jupyter/api/terminals";
    const made = await door.get(terminals, { method: "POST", headers: { Origin: door.address } });
    expect(made.status).toBe(200);
    const { name } = (await made.json()) as { name: string };
    const typed = [
      "stdin",
      'bash -lc "command -v spark-submit python3"; command -v spark-submit python3; echo "$0 has" "ended"\r',
    ];
    expect(
      await door.socket(`/jupyter/terminals/websocket/${name}`, door.address, typed, shown(/[\s\S]*\S+ has ended/)),
    ).toMatch(/(\/opt\/spark\/bin\/spark-submit\s+\/opt\/venv\/bin\/python3\s+){2}\/bin\/bash has ended/);
    expect((await door.get(`${terminals}/${name}`, { method: "DELETE" })).status).toBe(204);
  });

  test("what is behind the gateway never sees the cookie by which people are logged in", async () => {
    const echo = [
      "import http.server as h, threading",
      "class E(h.BaseHTTPRequestHandler):",
      "    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(str(self.headers).encode())",
      "    def log_message(self, *a): pass",
      "s = h.HTTPServer(('127.0.0.1', 8899), E); print('serving', flush=True); s.handle_request()",
    ].join("\n");
    const serving = cluster.exec("client", ["python3", "-c", echo]);
    let headers = "";
    await expect
      .poll(
        async () => {
          const answer = await door.get("/jupyter/proxy/8899/", { headers: { "X-Mine": "seen" } });
          headers = await answer.text();
          return answer.status;
        },
        { timeout: 20_000 },
      )
      .toBe(200);
    await serving;
    expect(headers).toContain("seen");
    expect(headers).not.toContain(`triplewide-${cluster.name}`);
    // Nor does it get the token by which the gateway logs in to Jupyter, which proxies the page.
    expect(headers).not.toMatch(/^authorization:/im);
  });
}
