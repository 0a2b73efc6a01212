import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { isDeepStrictEqual } from "node:util";
import type { MarathonApp } from "../../render/marathon-apps.ts";

/**
 * A stand-in for Marathon, for tests only: the part of its HTTP interface that this project uses, with the statuses and
 * error bodies of Marathon 1.11. It starts no tasks; apps count as healthy after the list was requested a few times.
 */
export class MarathonStandIn {
  readonly login = "marathon:right";
  readonly apps = new Map<string, Record<string, unknown>>();
  /** The requests, without those for the list of apps. */
  readonly log: string[] = [];
  /** Apps that never become healthy, with Marathon's message about their last task. */
  readonly broken = new Map<string, string>();
  /** Apps whose restart began with too many tasks. Marathon 1.11 never completes such a restart. */
  readonly stuck: string[] = [];
  /** Apps whose tasks' health this leader does not know; the next leader does. */
  readonly unseen = new Set<string>();
  /** Apps that wait for an offer, and why the last offers were rejected. */
  queue: object[] = [];
  /** The number of requests for the list before new apps are healthy. */
  slowness = 1;
  /** The number of requests that get 503 before a leader is elected. */
  electing = 0;
  /** The reason for refusing definitions. */
  refusal: { message: string; details: { path: string; errors: string[] }[] } | undefined;
  readonly #server: Server;
  readonly #age = new Map<string, number>();

  private constructor() {
    this.#server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => {
        body += chunk;
      });
      request.on("end", () => {
        const [status, answer] = this.#answer(request.method ?? "", request.url ?? "", request.headers, body);
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
      });
    });
  }

  static async start(): Promise<MarathonStandIn> {
    const marathon = new MarathonStandIn();
    await new Promise<void>((done) => marathon.#server.listen(0, "127.0.0.1", done));
    return marathon;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #answer(method: string, url: string, headers: Record<string, unknown>, body: string): [number, unknown] {
    if (headers.authorization !== `Basic ${Buffer.from(this.login).toString("base64")}`) {
      return [401, { message: "Invalid username or password" }];
    }
    if (this.electing-- > 0) return [503, { message: "Could not determine the current leader" }];
    const { pathname, searchParams } = new URL(url, "http://marathon");
    if (method === "GET" && pathname === "/v2/apps") {
      const wanted = searchParams.get("id") ?? "";
      return [200, { apps: [...this.apps.keys()].filter((id) => id.includes(wanted)).map((id) => this.#describe(id)) }];
    }
    if (method === "GET" && pathname === "/v2/queue") return [200, { queue: this.queue }];
    this.log.push(`${method} ${url}`);
    if (method === "PUT" && pathname === "/v2/apps") {
      return this.#put(JSON.parse(body) as MarathonApp[], searchParams.get("partialUpdate") !== "false");
    }
    if (method === "DELETE" && pathname === "/v2/leader") {
      this.unseen.clear();
      this.electing = 1;
      return [200, { message: "Leadership abdicated" }];
    }
    const id = pathname.replace("/v2/apps", "");
    if (method === "DELETE" && this.apps.delete(id)) return [200, { deploymentId: "d", version: "v" }];
    return [404, { message: `App '${id}' does not exist` }];
  }

  #put(apps: MarathonApp[], partial: boolean): [number, unknown] {
    if (this.refusal) return [422, this.refusal];
    for (const app of apps) {
      const before = this.apps.get(app.id);
      const after: Record<string, unknown> = partial ? { ...before, ...app } : { ...app };
      const { instances: many, ...old } = before ?? {};
      const { instances: few, ...changed } = after;
      if (Number(many) > Number(few) && !isDeepStrictEqual(old, changed)) this.stuck.push(app.id);
      this.apps.set(app.id, after);
      this.#age.set(app.id, 0);
    }
    return [200, { deploymentId: "d", version: "v" }];
  }

  #describe(id: string): unknown {
    const app = this.apps.get(id) ?? {};
    const age = this.#age.get(id) ?? this.slowness;
    this.#age.set(id, age + 1);
    const message = this.broken.get(id);
    const healthy = age >= this.slowness && message === undefined && !this.stuck.includes(id);
    return {
      // Marathon adds its defaults, and leaves out values that equal its defaults.
      backoffFactor: 1.15,
      killSelection: "YOUNGEST_FIRST",
      ...app,
      tasksRunning: healthy ? app.instances : 0,
      tasksHealthy: healthy && !this.unseen.has(id) ? app.instances : 0,
      deployments: healthy ? [] : [{ id: "d" }],
      ...(message === undefined
        ? {}
        : { lastTaskFailure: { appId: id, host: "10.72.0.64", message, state: "TASK_FAILED" } }),
    };
  }
}
