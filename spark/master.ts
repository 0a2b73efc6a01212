import type { Cluster, Machine } from "../cluster/types.ts";
import { UserError } from "../lib/errors.ts";
import { printfFormat, shellQuote } from "../lib/quote.ts";
import { exchange } from "../render/exchange.ts";

/**
 * Spark's own masters as their pages tell of them (https://spark.apache.org/docs/3.5.9/monitoring.html,
 * https://spark.apache.org/docs/3.5.9/spark-standalone.html). Asked from a master's own machine, which alone may send workers away.
 */

/** Runs commands on a cluster's machines, where their services are. */
export interface OnMachines {
  /** In the container of a service, where it has one; else on the machine. */
  run: (machine: Machine, service: string, command: readonly string[]) => Promise<{ code: number; output: string }>;
}

/** A worker as the leading master knows it. */
export interface SparkWorker {
  /** Address of its machine. */
  host: string;
  state: "ALIVE" | "DECOMMISSIONED" | "DEAD" | "UNKNOWN";
  cores: number;
  coresUsed: number;
  /** MiB for executors' heaps. */
  memory: number;
  memoryUsed: number;
}

/** An application that has not ended. */
export interface SparkApp {
  id: string;
  /** Cores of its executors. */
  cores: number;
  /** MiB of heap of one of its executors. */
  executorMiB: number;
  /** Executors that it has, and that it would have if there were room. */
  executors: { granted: number; wanted: number };
}

/** What the leading master says. */
export interface SparkState {
  workers: SparkWorker[];
  apps: SparkApp[];
}

interface MasterAnswer {
  status: string;
  workers: {
    host: string;
    state: SparkWorker["state"];
    cores: number;
    coresused: number;
    memory: number;
    memoryused: number;
  }[];
  activeapps: { id: string; cores: number; memoryperexecutor: number }[];
}

/** A request as a command that prints the whole answer. */
export function requestCommand(host: string, port: number, method: "GET" | "POST", path: string): string[] {
  const lines = [`${method} ${printfFormat(path)} HTTP/1.0`, `Host: ${host}`, "Content-Length: 0", "", ""].join(
    "\\r\\n",
  );
  return ["timeout", "20", "bash", "-c", exchange({ host, port }, shellQuote(lines), "cat")];
}

/** @throws Error for anything but an answer with 200. */
export function bodyOf(answer: string): string {
  if (!/^HTTP\/1\.[01] 200 /.test(answer)) throw new Error(answer.split("\r\n")[0]?.slice(0, 200) || "no answer");
  return answer.slice(answer.indexOf("\r\n\r\n") + 4);
}

/**
 * How many executors an application has, and would have: its page is the only place where the master says it. Its limit is what dynamic
 * allocation asks for, and its cores bound it too.
 *
 * @param executorCores Cores of one of its executors.
 * @throws Error where the page does not say it.
 */
export function readExecutors(page: string, executorCores: number): SparkApp["executors"] {
  const text = page.replaceAll(/<[^>]*>/g, " ").replaceAll(/\s+/g, " ");
  const [, limit, granted] = /Executor Limit: (Unlimited|\d+) \((\d+) granted\)/.exec(text) ?? [];
  const [, left] = /Cores: (?:Unlimited \(\d+ granted|\d+ \(\d+ granted, (\d+) left)\)/.exec(text) ?? [];
  if (limit === undefined || granted === undefined)
    throw new Error("the master's page of an application says no limit");
  const byCores = left === undefined ? Number.POSITIVE_INFINITY : Math.floor(Number(left) / executorCores);
  const more = Math.max(
    0,
    Math.min(Number(limit === "Unlimited" ? Number.POSITIVE_INFINITY : limit) - Number(granted), byCores),
  );
  return { granted: Number(granted), wanted: Number(granted) + more };
}

/** How the masters of a cluster are asked. */
export class SparkMasters {
  readonly #cluster: Cluster;
  readonly #on: OnMachines;

  constructor(cluster: Cluster, on: OnMachines) {
    this.#cluster = cluster;
    this.#on = on;
  }

  /**
   * @param executorCores Cores of one executor.
   * @throws UserError where no master leads.
   */
  async state(executorCores: number): Promise<SparkState> {
    const { master, answer } = await this.#leader();
    const apps = answer.activeapps.map(async ({ id, cores, memoryperexecutor }): Promise<SparkApp> => {
      const page = await this.#ask(master, "GET", `/app/?appId=${encodeURIComponent(id)}`);
      return { id, cores, executorMiB: memoryperexecutor, executors: readExecutors(page, executorCores) };
    });
    return { workers: workersIn(answer), apps: await Promise.all(apps) };
  }

  /**
   * Has workers get no further executors: the leading master gives them none from its answer on. A worker that starts anew gets some again.
   *
   * @param hosts Addresses of their machines.
   * @returns The workers, after that.
   * @throws UserError where no master leads.
   */
  async sendAway(hosts: readonly string[]): Promise<SparkWorker[]> {
    const { master, answer } = await this.#leader();
    // It answers 404 where none of them was to be sent away.
    const alive = workersIn(answer).flatMap(({ host, state }) =>
      state === "ALIVE" && hosts.includes(host) ? [host] : [],
    );
    if (alive.length > 0)
      await this.#ask(master, "POST", `/workers/kill/?${alive.map((host) => `host=${host}`).join("&")}`);
    return workersIn((await this.#leader()).answer).filter(({ host }) => hosts.includes(host));
  }

  async #leader(): Promise<{ master: Machine; answer: MasterAnswer }> {
    const failures: string[] = [];
    for (const master of this.#cluster.machines.filter((m) => m.roles.includes("spark-master"))) {
      try {
        const answer = JSON.parse(await this.#ask(master, "GET", "/json/")) as MasterAnswer;
        if (answer.status === "ALIVE") return { master, answer };
        failures.push(`${master.name}: ${answer.status}`);
      } catch (error) {
        failures.push(`${master.name}: ${(error as Error).message}`);
      }
    }
    throw new UserError(`no leading Spark master answers; nothing was changed:\n  ${failures.join("\n  ")}`);
  }

  async #ask(master: Machine, method: "GET" | "POST", path: string): Promise<string> {
    const command = requestCommand(master.address, this.#cluster.config.sparkMasterUiPort, method, path);
    const { code, output } = await this.#on.run(master, "spark-master", command);
    if (code !== 0) throw new Error(output.trim().split("\n").at(-1) || `exit code ${code}`);
    return bodyOf(output);
  }
}

/** One worker for each machine: after a restart, the master lists the old worker beside the new one. */
function workersIn({ workers }: MasterAnswer): SparkWorker[] {
  const rank = { ALIVE: 3, DECOMMISSIONED: 2, UNKNOWN: 1, DEAD: 0 };
  const found = new Map<string, SparkWorker>();
  for (const { host, state, cores, coresused, memory, memoryused } of workers) {
    const worker = { host, state, cores, coresUsed: coresused, memory, memoryUsed: memoryused };
    const before = found.get(host);
    if (before === undefined || rank[state] > rank[before.state]) found.set(host, worker);
  }
  return [...found.values()];
}
