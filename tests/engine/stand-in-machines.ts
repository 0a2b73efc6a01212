import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { json } from "node:stream/consumers";
import { unitName } from "../../render/cloud-init/paths.ts";
import type { FakeCloud } from "./fake-cloud.ts";

/**
 * Stand-ins for machines of a cloud in memory, as far as operators' commands use them. `ssh` is a program that sends the command to this process,
 * which answers for a machine as long as the cloud has its server. Spark's master knows the agents whose servers exist.
 */

/** Sends its arguments to this process. Sessions that stay open end with their standard input, as those of the real ssh do. */
const SSH = `#!${process.execPath}
const [command, address] = process.argv.slice(2).reverse();
if (process.argv[2] === "-G") process.exit(0);
const held = command === "echo open; exec cat";
let input = "";
if (!held) for await (const chunk of process.stdin) input += chunk;
const asked = { method: "POST", body: JSON.stringify({ address, command, input }) };
const { code, stdout, stderr } = await (await fetch(process.env.STAND_IN_MACHINES, asked)).json();
process.stdout.write(stdout);
process.stderr.write(stderr);
process.exitCode = code;
if (held && code === 0) for await (const _ of process.stdin);
`;

interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

const said = (stdout: string): Answer => ({ code: 0, stdout, stderr: "" });
const failed = (stderr: string, code = 1): Answer => ({ code, stdout: "", stderr: `${stderr}\n` });

/** A job as Spark's master shows it: one core for each executor. */
interface Job {
  granted: number;
  wanted: number;
}

export class StandInMachines {
  /** The number of cores that executors use on each agent, by the agent's name. */
  readonly busy = new Map<string, number>();
  /** Minutes since the last executor ran on an agent. */
  idleMinutes = 60;
  job: Job | undefined;
  /** Files in containers, by machine, service and path. */
  readonly files = new Map<string, string>();
  /** Services that were restarted, as `agent-2 spark-worker`, in order. */
  readonly restarted: string[] = [];
  /** Ids of the servers whose workers were decommissioned. */
  readonly #sentAway = new Set<string>();
  readonly #folder = mkdtempSync(join(tmpdir(), "stand-in-machines-"));
  readonly #server: Server;
  readonly #cloud: FakeCloud;
  readonly #cluster: string;

  private constructor(server: Server, cloud: FakeCloud, cluster: string) {
    this.#server = server;
    this.#cloud = cloud;
    this.#cluster = cluster;
    const program = join(this.#folder, "ssh");
    // The script must be a module, because it uses `await` at its top level.
    writeFileSync(join(this.#folder, "package.json"), JSON.stringify({ type: "module" }));
    writeFileSync(program, SSH);
    chmodSync(program, 0o755);
  }

  /** @param cluster Its name, with which those of its servers begin. */
  static async start(cloud: FakeCloud, cluster: string): Promise<StandInMachines> {
    const server = createServer();
    const machines = new StandInMachines(server, cloud, cluster);
    server.on("request", async (request, response) => {
      const { address, command } = (await json(request)) as { address: string; command: string };
      response.end(JSON.stringify(machines.#run(address, command)));
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return machines;
  }

  /** The environment with which a program reaches these machines. */
  environment(path = ""): Record<string, string> {
    const { port } = this.#server.address() as AddressInfo;
    return { STAND_IN_MACHINES: `http://127.0.0.1:${port}`, PATH: `${this.#folder}${delimiter}${path}` };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Names of agents whose workers were decommissioned. */
  get leaving(): string[] {
    return this.#agents().flatMap(({ name, id }) => (this.#sentAway.has(id) ? [name] : []));
  }

  /** Agents that are up, in the order of their numbers. */
  #agents(): { name: string; id: string; address: string }[] {
    return this.#cloud
      .up()
      .filter(({ name }) => new RegExp(`^${this.#cluster}-agent-\\d+$`).test(name))
      .map((server) => ({ ...server, name: server.name.slice(this.#cluster.length + 1) }))
      .sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  }

  #run(address: string, command: string): Answer {
    const bastion = address === "triplewide_bastion";
    const found = this.#cloud
      .up()
      .find((one) => (bastion ? one.name === `${this.#cluster}-bastion` : one.address === address));
    if (!found) return failed(`ssh: connect to host ${address} port 22: No route to host`, 255);
    if (bastion) return said("open\n");
    const machine = found.name.slice(this.#cluster.length + 1);
    const [sudo, flag, ...words] = wordsOf(command);
    if (sudo !== "sudo" || flag !== "-n") return failed(`not as root: ${command}`);
    if (words[0] === "systemctl") {
      const [, verb, unit = ""] = words;
      if (verb !== "restart") return failed(`systemctl ${verb}`);
      this.restarted.push(`${machine} ${unit.replace(unitName(""), "")}`);
      this.#sentAway.delete(found.id);
      return said("");
    }
    const [, , unit = "", ...inside] = words.filter((word, i) => !(i >= 2 && i < 4 && /^(--user|0:0)$/.test(word)));
    return this.#inside(machine, unit.replace(unitName(""), ""), inside);
  }

  /** The answer to a command in a container. */
  #inside(machine: string, service: string, command: string[]): Answer {
    const file = `${machine} ${service} `;
    const [program, first = ""] = command;
    if (program === "cat") {
      const text = this.files.get(file + first);
      return text === undefined ? failed(`cat: ${first}: No such file or directory`) : said(text);
    }
    if (program === "rm") {
      this.files.delete(file + command.at(-1));
      return said("");
    }
    if (program === "sh") {
      const [path = "", content = ""] = command.slice(-2);
      this.files.set(file + path, content);
      return said("");
    }
    if (service === "spark-worker") return said(`idle ${60 * this.idleMinutes} shuffles no\n`);
    const [, method = "", path = ""] = /(GET|POST) (\/\S*) HTTP/.exec(command.join(" ")) ?? [];
    const page = service === "spark-master" ? this.#master(method, path) : undefined;
    return page === undefined ? failed(`${service}: ${command.join(" ")}`) : said(`HTTP/1.1 200 OK\r\n\r\n${page}`);
  }

  /** The answer of Spark's master to an HTTP request. */
  #master(method: string, path: string): string | undefined {
    if (path.startsWith("/app/") && this.job) {
      const { granted, wanted } = this.job;
      return `<li><strong>Cores:</strong> Unlimited (${granted} granted)</li><li><strong>Executor Limit: </strong> ${wanted} (${granted} granted)</li>`;
    }
    if (path.startsWith("/workers/kill/") && method === "POST") {
      const hosts = new URLSearchParams(path.split("?")[1]).getAll("host");
      for (const { address, id } of this.#agents()) if (hosts.includes(address)) this.#sentAway.add(id);
      return "";
    }
    if (path !== "/json/") return undefined;
    const workers = this.#agents().map(({ name, id, address }) => ({
      host: address,
      state: this.#sentAway.has(id) ? "DECOMMISSIONED" : "ALIVE",
      cores: 4,
      coresused: this.busy.get(name) ?? 0,
      memory: 4096,
      memoryused: 1024 * (this.busy.get(name) ?? 0),
    }));
    const apps = this.job ? [{ id: "app-1", cores: this.job.granted, memoryperexecutor: 1024 }] : [];
    return JSON.stringify({ status: "ALIVE", workers, activeapps: apps });
  }
}

/** The words of a command, as a shell sees them. */
const wordsOf = (command: string): string[] =>
  execFileSync("bash", ["-c", `printf '%s\\0' ${command}`], { encoding: "utf8" })
    .split("\0")
    .slice(0, -1);
