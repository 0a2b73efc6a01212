import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeCluster, loadConfig } from "../../cluster/load.ts";
import { http, line } from "../../cluster/probe.ts";
import { MESOS_HOME } from "../../cluster/services/mesos/mesos.ts";
import type { Cluster, Service } from "../../cluster/types.ts";
import { ROOT } from "../../lib/root.ts";
import { type Run, startContainers } from "../../local/containers.ts";
import { type Docker, findDocker } from "../../local/docker.ts";
import { waitHealthy } from "../../local/health.ts";
import { buildImages } from "../../local/images.ts";
import { projectOf, readSecret } from "../../local/project.ts";
import { passGates } from "../../local/up.ts";
import { drainCall } from "../../mesos/operator.ts";
import { agentAt } from "../../mesos/state.ts";
import { containerName } from "../../render/compose.ts";
import { probeCommand } from "../../render/probe.ts";
import { MesosCluster } from "../mesos/mesos-cluster.ts";
import { eventually } from "./harness.ts";

/**
 * Runs ZooKeeper and a stand-in for Mesos as the cluster's definition starts them: flags, files, logins, probes, gates and the
 * operator's calls. Tests that need the real Mesos are in `tests/mesos`.
 */
const STAND_IN = readFileSync(join(ROOT, "tests/fakes/mesos-stand-in.py"), "utf8");

const GUESSED = JSON.stringify({ principal: "agent", secret: "guessed" });

const PARTS = ["zookeeper", "mesos-master", "mesos-agent"];

class StandInCluster extends MesosCluster {
  readonly #docker: Docker;

  /** Has no source of Mesos, so that images without Mesos are used, and no shuffle services, for which agents would wait. */
  constructor(d: Docker, name: string, index: number, settings: string[]) {
    super(d, name, index, ["readyTimeoutSeconds=120", "dynamicAllocation=false", ...settings], "");
    this.#docker = d;
  }

  /** ZooKeeper, masters and agents as defined, with the stand-in in place of Mesos' programs. */
  #parts(change = (service: Service): Service => service): Cluster {
    const services = this.cluster.services
      .filter((service) => PARTS.includes(service.name))
      .map((service) => {
        // An agent's command begins with a script of this project, so the program is not the first word.
        const program = service.command.find((word) => word.startsWith(`${MESOS_HOME}/sbin/`));
        if (program === undefined) return service;
        const standIn = { path: program, content: { format: "text", text: STAND_IN }, mode: "0755" } as const;
        return change({ ...service, files: [...service.files, standIn] });
      });
    return { ...this.cluster, services };
  }

  /** Starts them. @param change Changes some of the services. */
  async startParts(change?: (service: Service) => Service): Promise<{ run: Run; containers: string[] }> {
    const cluster = this.#parts(change);
    const { signal } = new AbortController();
    const project = projectOf(ROOT, this.name);
    const run: Run = { d: this.#docker, project, cluster, root: ROOT, say: () => {}, signal };
    // Existing images may have been built from other files.
    await buildImages(ROOT, cluster, new Map(), signal);
    return { run, containers: await startContainers(run) };
  }

  /** Returns when every container is healthy and the leading master has all agents, by the definition's own checks. */
  async up(change?: (service: Service) => Service): Promise<void> {
    const { run, containers } = await this.startParts(change);
    const { gates, config } = run.cluster;
    await waitHealthy(this.#docker, containers, config.readyTimeoutSeconds, run.say, run.signal);
    const ofMesos = gates.filter((gate) => gate.what === `a leading Mesos master with ${config.agentCount} agents`);
    expect(ofMesos).toHaveLength(1);
    await passGates(run, ofMesos);
  }

  async down(): Promise<void> {
    await this.cli("down", ["--volumes"]);
    expect(await this.traces()).toEqual([]);
  }

  /** Whether a master's answer to a request has a line that matches. */
  async answers(master: number, path: string, pattern: string, login?: string): Promise<boolean> {
    const files = login === undefined ? {} : { loginFile: login };
    const probe = http(this.address(`master-${master}`), this.cluster.config.mesosMasterPort, path, pattern, files);
    return (await this.exec(`master-${master}-mesos-master`, probeCommand(probe))).code === 0;
  }

  /** The service of that name in the definition, on the first machine that has it. */
  service(name: string, cluster = this.cluster): Service {
    const found = cluster.services.find((service) => service.name === name);
    if (!found) throw new Error(`${cluster.architecture} has no ${name}`);
    return found;
  }

  /** Starts a service's program a second time, in the test's container that has its files, with some flags changed. */
  another(service: Service, changes: Record<string, string | undefined>): Promise<{ code: number; output: string }> {
    const ours = this.service(service.name);
    const address = this.address(ours.machine);
    const place = { MESOS_ip: address, MESOS_hostname: address, MESOS_port: "5999", MESOS_work_dir: "/tmp/another" };
    const environment = Object.entries({ ...service.env, ...place, ...changes })
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `${key}=${value}`);
    const container = containerName(this.#parts(), ours).slice(this.name.length + 1);
    // `env -i` keeps the variables of the container's own program from this one.
    return this.exec(container, ["env", "-i", ...environment, "timeout", "30", ...service.command]);
  }

  /** ZooKeeper's address with a wrong password. */
  guessedZk(): string {
    return `zk://mesos:guessed@${this.address("master-1")}:${this.cluster.config.zookeeperClientPort}/mesos`;
  }
}

const d = await findDocker();

describe("the wiring of three masters and two agents, with a stand-in for Mesos", () => {
  const cluster = new StandInCluster(d, "tw-contract", 7, [
    "architecture=mesos-in-docker",
    "masterCount=3",
    "agentCount=2",
  ]);
  /** @throws Error with the last log lines of masters and ZooKeeper after the timeout. */
  const bothAgents = async (seconds: number): Promise<void> => {
    try {
      await eventually("a leading master with both agents", seconds, () => cluster.agentsAtLeader(2), Boolean);
    } catch (error) {
      const services = cluster.masters.flatMap((n) => [`master-${n}-mesos-master`, `master-${n}-zookeeper`]);
      const logs = await Promise.all(
        services.map(async (name) => `${name}:\n${(await cluster.logs(name)).slice(-1500)}`),
      );
      throw new Error(`${(error as Error).message}\n${logs.join("\n")}`);
    }
  };

  beforeAll(async () => {
    await cluster.down();
    await cluster.up();
  });
  afterAll(() => cluster.down());

  test("one master leads, and the others send on to it", async () => {
    const [leader = 0, ...more] = await cluster.leadingMasters();
    expect(more).toEqual([]);
    const answers = await Promise.all(cluster.masters.map((n) => cluster.ask(n, { type: "GET_AGENTS" })));
    expect(answers.map((answer) => answer.kind)).toEqual(
      cluster.masters.map((n) => (n === leader ? "done" : "follower")),
    );
  });

  test("strangers write nothing of Mesos' in ZooKeeper, even where one of them came first", async () => {
    const refusal = async (): Promise<string> =>
      (await cluster.exec("master-1-zookeeper", ["zk", "set", "/mesos", "x"])).output;
    expect(await refusal()).toContain("Insufficient permission");
    // An agent without a login that makes this node leaves it writable for everyone.
    const open = `printf 'addauth digest super:%s\nsetAcl /mesos world:anyone:cdrwa\n' "$(sed -n 's/^super //p' /etc/zookeeper/owners)" | zk`;
    await cluster.exec("master-1-zookeeper", ["bash", "-c", open]);
    expect(await refusal()).not.toContain("Insufficient permission");
    for (const n of cluster.masters) await cluster.kill(`master-${n}-zookeeper`);
    await cluster.up();
    await eventually("it is the masters' alone again", 60, refusal, (said) => said.includes("Insufficient permission"));
  });

  test("people log in with the right password, or not at all", async () => {
    await cluster.exec("master-1-mesos-master", ["bash", "-c", "printf admin:guessed >/tmp/guessed"]);
    expect(await cluster.answers(1, "/state", "^HTTP/1.[01] 401")).toBe(true);
    expect(await cluster.answers(1, "/state", "^HTTP/1.[01] 401", "/tmp/guessed")).toBe(true);
    expect(await cluster.answers(1, "/metrics/snapshot", "^HTTP/1.[01] 401", "/tmp/guessed")).toBe(true);
    expect((await fetch(`http://127.0.0.1:${cluster.cluster.config.mesosMasterPort}/state`)).status).toBe(401);
  });

  test("an agent with a wrong secret is refused", async () => {
    const { code, output } = await cluster.strangeAgent("agent-1");
    expect(output).toContain("refused authentication");
    expect(code).toBe(1);
  });

  test("masters and agents take messages only from the address that they say they are from", async () => {
    const [leader = 0] = await cluster.leadingMasters();
    const [master, agent] = [cluster.upid(`master-${leader}`), cluster.upid("agent-2")];
    const send = (from: string, to: string, message: string) =>
      cluster.message("agent-1", from, to, message, "guessed", ...(message === "RunTaskMessage" ? ["true"] : []));
    expect(await send(master, agent, "RunTaskMessage")).toMatch(/^400 UPID IP address validation failed/);
    expect(await send(agent, master, "UnregisterSlaveMessage")).toMatch(/^400 UPID IP address validation failed/);
    expect(await send(cluster.upid("agent-1"), master, "UnregisterSlaveMessage")).toMatch(/^202/);
  });

  test("a master without ZooKeeper's password is none", async () => {
    const { code, output } = await cluster.another(cluster.service("mesos-master"), { MESOS_zk: cluster.guessedZk() });
    expect(output).toContain("Failed to contend");
    expect(code).toBe(1);
  });

  test("Spark may not drain an agent", async () => {
    const [leader = 0] = await cluster.leadingMasters();
    const secret = readSecret(projectOf(ROOT, cluster.name), "mesos-spark");
    const write = `printf spark:${secret} >/tmp/spark`;
    await cluster.exec(`master-${leader}-mesos-master`, ["bash", "-c", write]);
    const found = await cluster.operator({ type: "GET_AGENTS" }, "/tmp/spark");
    const agent = found.kind === "done" ? agentAt(found.body, cluster.address("agent-2")) : undefined;
    expect(agent?.drain).toBe("none");
    expect(await cluster.operator(drainCall(agent?.id ?? "", 5), "/tmp/spark")).toMatchObject({
      kind: "refused",
      status: 403,
    });
  });

  test("an agent is drained by name, and given back", async () => {
    const drained = await cluster.drain("agent-2", "--grace", "5");
    expect(drained.output).toMatch(/agent-2 is drained after [\d.]+ s/);
    expect(drained.code).toBe(0);
    expect(await cluster.agentsAtLeader(1)).toBe(true);
    const back = await cluster.drain("agent-2", "--back");
    expect(back.output).toContain("agent-2 takes tasks again");
    await bothAgents(300);
  });

  test("a machine's own container is killed: the next up gives its services a network again", async () => {
    await cluster.kill("master-1");
    await cluster.up();
    // Sent from another machine: services on master-1 itself reach each other without that network.
    const port = cluster.cluster.config.zookeeperClientPort;
    const probe = line(cluster.address("master-1"), port, "srvr", "^Mode: (leader|follower)");
    expect((await cluster.exec("master-2-zookeeper", probeCommand(probe))).code).toBe(0);
    await bothAgents(300);
  });

  test("the leading master is killed: another one leads, with both agents", async () => {
    const [leader = 0] = await cluster.leadingMasters();
    await cluster.kill(`master-${leader}-mesos-master`);
    await bothAgents(300);
    const after = await cluster.leadingMasters();
    expect(after).toHaveLength(1);
    expect(after).not.toContain(leader);
    await cluster.up();
  });

  test("the leading ZooKeeper is killed: another one leads, and one master with both agents", async () => {
    const [leader = 0] = await cluster.leadingZookeepers();
    await cluster.kill(`master-${leader}-zookeeper`);
    await eventually(
      "another leading ZooKeeper",
      300,
      () => cluster.leadingZookeepers(),
      (found) => found.length === 1 && !found.includes(leader),
    );
    // Masters may still report the previous leader. A new election shows that the new ensemble is in use.
    const [master = 0] = await eventually(
      "a leading master",
      300,
      () => cluster.leadingMasters(),
      (found) => found.length === 1,
    );
    await cluster.kill(`master-${master}-mesos-master`);
    await bothAgents(300);
    const after = await cluster.leadingMasters();
    expect(after).toHaveLength(1);
    expect(after).not.toContain(master);
    await cluster.up();
  });
});

describe("flags and files of the other architectures, with a stand-in for Mesos", () => {
  const define = (architecture: string) =>
    new StandInCluster(d, "tw-flags", 8, [`architecture=${architecture}`, "masterCount=1", "agentCount=1"]);
  const vanilla = define("vanilla");

  beforeAll(() => vanilla.down());
  afterAll(() => vanilla.down());

  test.each(["docker-executors", "marathon-standalone", "vanilla"])(
    "%s: every flag is known, and a master leads with the agent",
    (architecture) => define(architecture).up(),
  );

  // The examples are for OpenStack, where some flags differ from those on this machine.
  test.each(["vanilla", "docker-executors", "mesos-in-docker", "marathon-standalone"])(
    "Pulumi.%s.yaml: every flag on machines is known",
    async (environment) => {
      const onMachines = describeCluster(loadConfig(ROOT, environment));
      expect(onMachines.config.platform).toBe("openstack");
      // Master and agent accept all flags, and fail only at the login, whose password is wrong.
      const master = vanilla.service("mesos-master", onMachines);
      expect((await vanilla.another(master, { MESOS_zk: vanilla.guessedZk() })).output).toContain("Failed to contend");
      await vanilla.exec("agent-1", ["bash", "-c", `echo '${GUESSED}' >/tmp/guessed`]);
      const agent = vanilla.service("mesos-agent", onMachines);
      const { output } = await vanilla.another(agent, { MESOS_credential: "file:///tmp/guessed" });
      expect(output).toContain("refused authentication");
    },
  );

  test.each([
    ["an unknown flag", { MESOS_quorumm: "1" }, "Failed to load unknown flag 'quorumm'"],
    ["a missing flag", { MESOS_quorum: undefined }, "Need to specify --quorum"],
    ["a file that is not there", { MESOS_zk: "file:///none" }, "Failed to read zk file '/none'"],
    ["malformed access rules", { MESOS_acls: '{"permissive": }' }, "Invalid json format"],
    ["an access rule that does not exist", { MESOS_acls: '{"drain_agent": []}' }, "there is no rule 'drain_agent'"],
    ["a value of another form", { MESOS_authenticate_agents: "yes" }, "Failed to load flag 'authenticate_agents'"],
  ])("%s ends a master", async (_, changes, reason) => {
    const { code, output } = await vanilla.another(vanilla.service("mesos-master"), changes);
    expect(output).toContain(reason);
    expect(code).toBe(1);
  });

  test("with an unknown flag in the definition, up gives up and shows the log that names it", async () => {
    const up = vanilla.up((service) =>
      service.name === "mesos-master" ? { ...service, env: { ...service.env, MESOS_quorumm: "1" } } : service,
    );
    await expect(up).rejects.toThrow(/master-1-mesos-master is restarting[\s\S]*Failed to load unknown flag 'quorumm'/);
  });
});
