import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { describeCluster, loadConfig } from "../../cluster/load.ts";
import { http, line, type Probe } from "../../cluster/probe.ts";
import { MARATHON_LOGIN } from "../../cluster/services/marathon/marathon.ts";
import { libprocessTrust } from "../../cluster/services/mesos/libprocess.ts";
import { ADMIN_LOGIN, MESOS_HOME } from "../../cluster/services/mesos/mesos.ts";
import { taskUser } from "../../cluster/services/mesos/principals.ts";
import type { Cluster } from "../../cluster/types.ts";
import { captured } from "../../lib/exec.ts";
import { ROOT } from "../../lib/root.ts";
import { type Docker, docker, dockerLines } from "../../local/docker.ts";
import { type OperatorAnswer, operatorCommand, readAnswer } from "../../mesos/operator.ts";
import { containerName, projectName, TASKS_LABEL } from "../../render/compose.ts";
import { exchange } from "../../render/exchange.ts";
import { probeCommand } from "../../render/probe.ts";
import { eventually, TestCluster } from "../containers/harness.ts";

/** A framework as a master reports it. */
export interface Framework {
  id: string;
  name: string;
  /** The libprocess address of its driver, for messages. */
  pid: string;
  role: string;
  principal: string;
  active: boolean;
  used_resources: { cpus: number };
}

const SEND_MESSAGE = readFileSync(join(ROOT, "tests/cluster/forged_message.py"), "utf8");

/** A cluster with Mesos (by default the real one that MESOS_SOURCE names), and methods that inject faults. */
export class MesosCluster extends TestCluster {
  readonly cluster: Cluster;
  readonly masters: number[];
  readonly #docker: Docker;

  constructor(d: Docker, name: string, index: number, settings: string[], source = process.env.MESOS_SOURCE) {
    super(d, name, index, [`mesosSource=${source}`, ...settings]);
    this.#docker = d;
    this.cluster = describeCluster(loadConfig(ROOT, "local", this.settings));
    this.masters = Array.from({ length: this.cluster.config.masterCount }, (_, i) => i + 1);
  }

  address(machine: string): string {
    return this.cluster.machines.find((m) => m.name === machine)?.address ?? "";
  }

  /** Numbers of the machines on which a probe of a service succeeds. */
  async #where(service: string, probe: (host: string) => Probe): Promise<number[]> {
    const found = await Promise.all(
      this.cluster.services
        .filter(({ name }) => name === service)
        .map(async ({ machine }) => {
          const { code } = await this.exec(this.part(machine, service), probeCommand(probe(this.address(machine))));
          return code === 0 ? [Number(machine.replace(/.*-/, ""))] : [];
        }),
    );
    return found.flat();
  }

  /** The name of a machine's service for `exec` and `kill`: the machine's name if it has only this service. */
  part(machine: string, service: string): string {
    const found = this.cluster.services.find((s) => s.machine === machine && s.name === service);
    if (!found) throw new Error(`no ${service} on ${machine}`);
    return containerName(this.cluster, found).slice(`${this.name}-`.length);
  }

  /** Numbers of the masters that report themselves as leading. */
  leadingMasters(): Promise<number[]> {
    const port = this.cluster.config.mesosMasterPort;
    return this.#where("mesos-master", (host) =>
      http(host, port, "/metrics/snapshot", '"master.elected":1', { loginFile: ADMIN_LOGIN, ...this.#trust }),
    );
  }

  leadingZookeepers(): Promise<number[]> {
    const port = this.cluster.config.zookeeperClientPort;
    return this.#where("zookeeper", (host) => line(host, port, "srvr", "^Mode: (leader|standalone)"));
  }

  /** Numbers of the masters whose Marathon leads, by the running Marathons' answers. Two numbers for a moment during an election. */
  async leadingMarathons(): Promise<number[]> {
    const port = this.cluster.config.marathonPort;
    const says = (leader: number): Promise<number[]> =>
      this.#where("marathon", (host) =>
        http(host, port, "/v2/leader", `"leader":"${this.address(`master-${leader}`)}:`, { loginFile: MARATHON_LOGIN }),
      );
    const found = await Promise.all(this.masters.map(async (n) => ((await says(n)).length > 0 ? [n] : [])));
    return found.flat();
  }

  async agentsAtLeader(count: number): Promise<boolean> {
    const port = this.cluster.config.mesosMasterPort;
    const found = await this.#where("mesos-master", (host) =>
      http(host, port, "/metrics/snapshot", `"master.slaves_active":${count}(\\.0)?[,}]`, {
        loginFile: ADMIN_LOGIN,
        ...this.#trust,
      }),
    );
    return found.length > 0;
  }

  /** The leading master's answer to a call with the operator's login or another one. */
  async operator(call: object, loginFile = ADMIN_LOGIN): Promise<OperatorAnswer> {
    const [leader = 0] = await this.leadingMasters();
    return this.ask(leader, call, loginFile);
  }

  /** The TLS trust for requests to this cluster's masters and agents. */
  get #trust() {
    return libprocessTrust(this.cluster.config);
  }

  /** The answer of one of the masters. */
  async ask(master: number, call: object, loginFile = ADMIN_LOGIN): Promise<OperatorAnswer> {
    const command = operatorCommand(
      { host: this.address(`master-${master}`), port: this.cluster.config.mesosMasterPort, ...this.#trust },
      call as Parameters<typeof operatorCommand>[1],
    ).map((word) => word.replaceAll(ADMIN_LOGIN, loginFile));
    return readAnswer((await this.exec(this.part(`master-${master}`, "mesos-master"), command)).output);
  }

  /** The state of the leading master, with the operator's login. */
  async state(): Promise<string> {
    const [leader = 0] = await this.leadingMasters();
    return this.page(`master-${leader}`, "/state");
  }

  /** The answer of a master's or agent's page, or of its API to a call, with the operator's login. */
  async page(machine: string, path: string, call?: object): Promise<string> {
    const { mesosMasterPort, mesosAgentPort } = this.cluster.config;
    const master = machine.startsWith("master");
    const to = { host: this.address(machine), port: master ? mesosMasterPort : mesosAgentPort, ...this.#trust };
    const body = call === undefined ? "" : JSON.stringify(call);
    const head = [
      `${call === undefined ? "GET" : "POST"} ${path} HTTP/1.0`,
      "Authorization: Basic %s",
      ...(call === undefined ? [] : ["Content-Type: application/json", "Accept: application/json"]),
      `Content-Length: ${body.length}`,
      "",
      body,
    ].join("\\r\\n");
    // The agent's operator login is in the file that Mesos reads.
    const read = `import json; c = json.load(open("/etc/mesos/http-credentials.json"))["credentials"][0]; print(c["principal"], c["secret"], sep=":", end="")`;
    const login = master ? `base64 -w0 ${ADMIN_LOGIN}` : `python3 -c '${read}' | base64 -w0`;
    const ask = `login=$(${login}) && ${exchange(to, `'${head}' "$login"`, "cat")}`;
    const service = master ? "mesos-master" : "mesos-agent";
    const { output } = await this.exec(this.part(machine, service), ["bash", "-c", ask]);
    expect(output, `${machine} ${path}`).toMatch(/^HTTP\/1\.[01] 200 /);
    return output.slice(output.indexOf("\r\n\r\n"));
  }

  /** Ids of the running containers of the cluster and of its tasks. */
  async allContainers(): Promise<string[]> {
    const project = projectName(this.name);
    const found = await Promise.all(
      ["com.docker.compose.project", TASKS_LABEL].map((label) =>
        dockerLines(this.#docker, ["ps", "-q", "--filter", `label=${label}=${project}`]),
      ),
    );
    return found.flat();
  }

  /** The output of a Docker command, whether it succeeds or not. */
  async inDocker(words: string[]): Promise<string> {
    return (await captured(this.#docker.client, words)).output;
  }

  /** The frameworks that are registered. */
  async frameworks(): Promise<Framework[]> {
    return JSON.parse(await this.state()).frameworks;
  }

  /** Sends a message of libprocess from a container, as its own user (`tests/cluster/forged_message.py`). @returns Status and reason. */
  async message(container: string, from: string, to: string, message: string, ...words: string[]): Promise<string> {
    const command = ["python3", "-c", SEND_MESSAGE, from, to, message, ...words];
    return (await this.exec(container, command, "spark")).output;
  }

  /** The libprocess address of a master or an agent, for messages. */
  upid(machine: string): string {
    const { mesosMasterPort, mesosAgentPort } = this.cluster.config;
    const master = machine.startsWith("master");
    return `${master ? "master" : "slave(1)"}@${this.address(machine)}:${master ? mesosMasterPort : mesosAgentPort}`;
  }

  /** Runs `make drain`'s command line. */
  drain(...args: string[]): Promise<{ code: number; output: string }> {
    const sets = this.settings.flatMap((text) => ["--set", text]);
    return captured(process.execPath, [join(ROOT, "cli", "main.ts"), "drain", "local", ...args, ...sets]);
  }

  /** Containers of tasks that an agent started. */
  taskContainers(agent: string): Promise<string[]> {
    return dockerLines(this.#docker, ["ps", "-q", "--filter", `label=triplewide.machine=${this.container(agent)}`]);
  }

  /** When a container started, in milliseconds as `Date.now()` counts. */
  async startOf(container: string): Promise<number> {
    const [started = ""] = await dockerLines(this.#docker, ["inspect", "-f", "{{.State.StartedAt}}", container]);
    return Date.parse(started);
  }

  async hasExecutor(agent: string): Promise<boolean> {
    if ((await this.taskContainers(agent)).length > 0) return true;
    const { code } = await this.exec(this.part(agent, "mesos-agent"), ["pgrep", "-f", "CoarseGrainedExecutorBackend"]);
    return code === 0;
  }

  async killExecutor(agent: string): Promise<void> {
    const containers = await this.taskContainers(agent);
    if (containers.length > 0) await docker(this.#docker, ["kill", ...containers]);
    else await this.exec(this.part(agent, "mesos-agent"), ["pkill", "-KILL", "-f", "CoarseGrainedExecutorBackend"]);
  }

  /** Kills an agent and its tasks, as when its machine loses power. */
  async killAgent(agent: string): Promise<void> {
    const containers = await this.taskContainers(agent);
    await docker(this.#docker, ["kill", this.container(this.part(agent, "mesos-agent")), ...containers]);
  }

  /** Runs a command in the container where users work. */
  onClient(command: string[]): Promise<{ code: number; output: string }> {
    return this.exec(this.part("client", "jupyter"), command);
  }

  /** Starts a job of tasks that take a second each. @returns Its running process, and the output that it must have in the end. */
  job(
    tasks: number,
    conf: Record<string, string> = {},
    env: string[] = [],
    seconds = 400,
  ): { done: Promise<{ code: number; output: string }>; says: string } {
    const settings = Object.entries(conf).map(([key, value]) => `.config('${key}', '${value}')`);
    const script = [
      "import time",
      "from pyspark.sql import SparkSession",
      `spark = SparkSession.builder.appName('slow')${settings.join("")}.getOrCreate()`,
      "def slow(n):",
      "    time.sleep(1)",
      "    return n * n",
      `total = spark.sparkContext.parallelize(range(${tasks}), ${tasks}).map(slow).sum()`,
      "print('sum is', total, 'by', spark.sparkContext.master)",
    ].join("\n");
    const done = this.onClient(["env", ...env, "timeout", String(seconds), "python3", "-c", script]);
    return { done, says: `sum is ${((tasks - 1) * tasks * (2 * tasks - 1)) / 6} by ${this.cluster.spark.master}` };
  }

  /**
   * Waits until a notebook shows a message for a session that gets no executor, and returns it.
   *
   * @param says Pattern of the message. Other messages are ignored until `timeout` ends the session.
   */
  refused(conf: Record<string, string>, says: string, env: string[] = []): Promise<{ code: number; output: string }> {
    const settings = Object.entries(conf).map(([key, value]) => `.config('${key}', '${value}')`);
    const script = [
      "import os, re, threading, time",
      "from pyspark.sql import SparkSession",
      "from triplewide_cluster import why_no_executor",
      `sc = SparkSession.builder.appName('refused')${settings.join("")}.getOrCreate().sparkContext`,
      "def work():",
      "    print('ran', sc.parallelize(range(2), 2).sum(), flush=True)",
      "threading.Thread(target=work, daemon=True).start()",
      "while True:",
      "    text = why_no_executor(sc.master, sc.applicationId, 1024, sc.sparkUser())",
      `    if re.search(${JSON.stringify(says)}, text): break`,
      "    time.sleep(1)",
      "print('told:', text, flush=True)",
      "os._exit(0)",
    ].join("\n");
    return this.onClient(["env", ...env, "timeout", "150", "python3", "-c", script]);
  }

  /** Starts a job that takes all cores. A job with fewer cores may fill one agent before Mesos offers it the next. */
  jobOnEveryAgent(tasks: number): ReturnType<MesosCluster["job"]> {
    const { agentCount, agentCpus = 1 } = this.cluster.config;
    return this.job(tasks, { "spark.cores.max": String(agentCount * agentCpus) });
  }

  /** Runs a task in a framework that is not Spark: Mesos' own, which is where the daemons are, and as that framework's user. */
  async otherFramework(
    name: string,
    role: string,
    more: Readonly<Record<string, string>> = {},
    user = taskUser(name),
  ): Promise<{ code: number; output: string }> {
    const login = await this.onClient(["cat", `/etc/mesos/frameworks/${name}.json`]);
    const { principal, secret } = JSON.parse(login.output);
    const [leader = 0] = await this.leadingMasters();
    const master = `${this.address(`master-${leader}`)}:${this.cluster.config.mesosMasterPort}`;
    const flags = { master, name, role, principal, secret, resources: "cpus:0.1;mem:32", command: "sleep 5", ...more };
    const command = [
      ...["timeout", "120", `${MESOS_HOME}/bin/mesos-execute`],
      ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
    ];
    return this.exec(this.part("agent-1", "mesos-agent"), command, user);
  }

  /** Starts a further agent inside of a machine, with a secret that is not the cluster's. */
  strangeAgent(
    container = this.part("agent-1", "mesos-agent"),
    secret = "guessed",
  ): Promise<{ code: number; output: string }> {
    const script = [
      `printf '{"principal": "agent", "secret": "${secret}"}' >/tmp/guessed`,
      "export MESOS_credential=file:///tmp/guessed MESOS_work_dir=/tmp/strange MESOS_runtime_dir=/tmp/strange-run MESOS_port=5999",
      // Otherwise it would take the containers of the machine's own agent for orphans and remove them.
      "export MESOS_containerizers=mesos",
      `timeout 60 ${MESOS_HOME}/sbin/mesos-agent`,
    ].join("\n");
    return this.exec(container, ["bash", "-c", script]);
  }
}

/** Waits until a check holds, and prints how long that took. */
export async function measured(what: string, seconds: number, holds: () => Promise<boolean>): Promise<void> {
  const began = performance.now();
  await eventually(what, seconds, holds, (value) => value);
  // Such tests are run for their times.
  console.log(`measured: ${what}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
}
