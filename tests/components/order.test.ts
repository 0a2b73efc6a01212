import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { teamQuotas } from "../../cluster/teams.ts";
import type { Access, AppsRequest, Operations, QuotasRequest, ReadyRequest } from "../../components/operations.ts";
import type { SshTarget } from "../../machines/ssh.ts";
import type { ExistingMachine } from "../../openstack/inventory.ts";
import type { MarathonApp } from "../../render/marathon-apps.ts";
import { barrier, configOf, type Registration, type Run, run, start } from "./monitor.ts";

/** The order in which machines are registered when existing machines change. */

/** A cloud whose machines become ready when a test says so. */
class FakeOperations implements Operations {
  waits = true;
  readonly existing: Map<string, ExistingMachine>;
  /** A log of events: `register master-1`, `ready? master-1`, `gates master`, `close`. */
  readonly log: string[] = [];
  #next = Promise.withResolvers<void>();
  /** Machines that never become ready, with their error. */
  readonly broken = new Map<string, string>();
  /** Machines that become ready only when the test removes them from here. */
  readonly held = new Set<string>();
  /** The apps that Marathon was last given. */
  applied: readonly MarathonApp[] = [];
  readonly #released = new Map<string, PromiseWithResolvers<void>>();

  constructor(existing: Map<string, ExistingMachine> = new Map()) {
    this.existing = existing;
  }

  #note(line: string): void {
    this.log.push(line);
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }

  /** Waits until the log has all of these lines. */
  async logged(...lines: string[]): Promise<void> {
    while (!lines.every((line) => this.log.includes(line))) await this.#next.promise;
  }

  release(name: string): void {
    this.held.delete(name);
    this.#released.get(name)?.resolve();
  }

  /** How to reach the machines. Resolves when the program has set it. */
  readonly #access = Promise.withResolvers<Access>();

  reach(access: Access): void {
    this.#access.resolve(access);
    this.#note("reach");
  }

  async known(): Promise<undefined> {}
  async accessKeys(): Promise<undefined> {}
  async twins(): Promise<string[]> {
    return [];
  }

  async fault(): Promise<string> {
    return "";
  }

  /** Checks that each machine has a known host key: the key that it will be given, or its server's key until it is replaced. */
  async #known(machines: readonly SshTarget[]): Promise<void> {
    const { knownHosts } = await this.#access.promise;
    for (const { name, address, hostKeyAlias } of machines) {
      const before = this.existing.get(name)?.serverId;
      if (hostKeyAlias === undefined ? !knownHosts.includes(`,${address} `) : hostKeyAlias !== before) {
        throw new Error(`nobody knows the host key of ${name}`);
      }
    }
  }

  async ready({ group, machines, gates }: ReadyRequest): Promise<void> {
    await this.#known(machines);
    if (gates) {
      this.#note(`gates ${group}`);
      const reason = this.broken.get(`gates ${group}`);
      if (reason) throw new Error(reason);
      return;
    }
    this.#note(`ready? ${machines.map((m) => m.name).join(" ")}`);
    for (const { name } of machines) {
      const reason = this.broken.get(name);
      if (reason) throw new Error(`${name}: ${reason}`);
      if (!this.held.has(name)) continue;
      const release = this.#released.get(name) ?? Promise.withResolvers<void>();
      this.#released.set(name, release);
      await release.promise;
    }
  }

  async quotas({ machines, cluster }: QuotasRequest): Promise<string[]> {
    await this.#known(machines);
    const teams = teamQuotas(cluster.config).map(({ role, guarantees }) => `${role}=${guarantees.cpus}`);
    this.#note(["quotas", ...teams].join(" "));
    const reason = this.broken.get("quotas");
    if (reason) throw new Error(reason);
    return [];
  }

  async apps({ apps, machines }: AppsRequest): Promise<void> {
    await this.#known(machines);
    this.#note(`apps ${apps.map((app) => app.id).join(" ")}`);
    this.applied = apps;
    const reason = this.broken.get("apps");
    if (reason) throw new Error(reason);
  }

  async forward(machine: SshTarget, address: string, port: number): Promise<void> {
    await this.#known([machine]);
    this.#note(`forward ${machine.name} ${address}:${port}`);
  }

  async close(): Promise<void> {
    this.#note("close");
  }

  readonly onRegister = (r: Registration): void => {
    if (r.type === INSTANCE) this.#note(`register ${r.name.replace("demo-", "")}`);
  };

  registered(group: string): string[] {
    return this.log.filter((line) => line.startsWith(`register ${group}`)).map((line) => line.replace("register ", ""));
  }
}

const INSTANCE = "openstack:compute/instance:Instance";
const CONFIG = configOf("standalone", { datanodeCount: 0, namenodeCount: 1, agentBatchSize: 2, agentCount: 5 });

/** The machines of the cloud after a first update, each as the config says. */
async function afterFirstUpdate(): Promise<Map<string, ExistingMachine>> {
  const { resources } = await run(CONFIG);
  const instances = resources.filter((r) => r.type === INSTANCE);
  return new Map(
    instances.map((r) => {
      const metadata = r.inputs.metadata as Record<string, string>;
      const machine: ExistingMachine = {
        serverId: `${r.name}-id`,
        status: "ACTIVE",
        configHash: metadata["triplewide-config"] ?? "",
      };
      return [r.name.replace("demo-", ""), machine];
    }),
  );
}

/** Marks these machines as made from another definition. */
function outdate(existing: Map<string, ExistingMachine>, pattern: RegExp): void {
  for (const [name, machine] of existing) if (pattern.test(name)) machine.configHash = "of-before";
}

let first: Map<string, ExistingMachine>;
let existing: Map<string, ExistingMachine>;
beforeAll(async () => {
  first = await afterFirstUpdate();
});
beforeEach(() => {
  existing = structuredClone(first);
});

const registrations = (names: Iterable<string>): string[] => [...names].map((name) => `register ${name}`);

/** Unhandled errors, which Pulumi would report. Tests check that there are none, or which there are. */
const unhandled: unknown[] = [];
const collect = (error: unknown): void => void unhandled.push(error);
process.on("unhandledRejection", collect);
afterEach(() => {
  expect(unhandled.splice(0)).toEqual([]);
});

const readyOf = ({ spark }: Pick<Run, "spark">): Promise<string> =>
  spark.ready.then(
    () => "ready",
    (error: Error) => error.message,
  );

test("first creation is parallel: no machine waits for another, except those that need the registry's images", async () => {
  const operations = new FakeOperations();
  operations.held.add("registry");
  const started = await start(CONFIG, { operations, onRegister: operations.onRegister });
  const ready = readyOf(started);
  await operations.logged("register bastion", "ready? registry");
  await barrier();
  expect(operations.registered("").sort()).toEqual(["bastion", "registry"]);
  operations.held.add("master-1").add("agent-1");
  operations.release("registry");
  await operations.logged(...registrations(first.keys()));
  expect(operations.registered("").length).toBe(2 + 3 + 5 + 1);
  expect(operations.log).toContain("forward registry 127.0.0.1:5001");
  operations.release("master-1");
  operations.release("agent-1");
  expect(await ready).toBe("ready");
  expect(operations.log.slice(-2)).toEqual(["gates master", "close"]);
});

test("nothing has changed: no machine waits, and every machine is asked whether it is ready", async () => {
  const operations = new FakeOperations(existing);
  for (const name of existing.keys()) operations.held.add(name);
  operations.held.delete("registry");
  const started = await start(CONFIG, { operations, onRegister: operations.onRegister });
  const ready = readyOf(started);
  await operations.logged(...registrations(existing.keys()));
  for (const name of existing.keys()) operations.release(name);
  expect(await ready).toBe("ready");
});

test("masters are replaced one at a time, each after the last is ready and the others were seen to be well", async () => {
  outdate(existing, /^master/);
  const operations = new FakeOperations(existing);
  const started = await start(CONFIG, { operations, onRegister: operations.onRegister });
  const ready = readyOf(started);
  expect(await ready).toBe("ready");
  const masters = operations.log.filter((line) => /master-\d$/.test(line));
  // Before a master is replaced, the two others are asked whether they are ready; afterwards, the one that was replaced.
  expect(masters.indexOf("register master-2")).toBeGreaterThan(masters.indexOf("register master-1"));
  for (const [i, name] of ["master-1", "master-2", "master-3"].entries()) {
    const at = masters.indexOf(`register ${name}`);
    const others = ["master-1", "master-2", "master-3"].filter((n) => n !== name);
    expect(new Set(masters.slice(at - 2, at))).toEqual(new Set(others.map((n) => `ready? ${n}`)));
    if (i < 2) expect(masters[at + 1]).toBe(`ready? ${name}`);
  }
});

test("a master that waits is not registered: it holds none of the engine's workers", async () => {
  outdate(existing, /^master/);
  const operations = new FakeOperations(existing);
  const started = await start(CONFIG, {
    operations,
    onRegister: (r) => {
      operations.onRegister(r);
      // This machine has just been replaced, and is not ready yet.
      if (r.name === "demo-master-1" && r.type === INSTANCE) operations.held.add("master-1");
    },
  });
  const ready = readyOf(started);
  await operations.logged("register client", "ready? master-1");
  await barrier();
  expect(operations.registered("master")).toEqual(["master-1"]);
  operations.release("master-1");
  expect(await ready).toBe("ready");
  expect(operations.registered("master")).toEqual(["master-1", "master-2", "master-3"]);
});

test("a master that does not become ready fails the update; the others and later groups stay as they are", async () => {
  outdate(existing, /^(master|agent|client)/);
  const operations = new FakeOperations(existing);
  const started = await start(CONFIG, {
    operations,
    onRegister: (r) => {
      operations.onRegister(r);
      if (r.name === "demo-master-1" && r.type === INSTANCE) operations.broken.set("master-1", "the unit's last lines");
    },
  });
  expect(await readyOf(started)).toContain("the cluster is not ready");
  await barrier();
  expect(operations.registered("").filter((name) => /^(master|agent|client)/.test(name))).toEqual(["master-1"]);
  expect(operations.log.at(-1)).toBe("close");
});

test("an unhealthy neighbour that does not change stops the replacement before it begins", async () => {
  outdate(existing, /^master-[12]/);
  const operations = new FakeOperations(existing);
  operations.broken.set("master-3", "no quorum");
  const started = await start(CONFIG, { operations, onRegister: operations.onRegister });
  expect(await readyOf(started)).toContain("the cluster is not ready");
  await barrier();
  expect(operations.registered("master").filter((name) => name !== "master-3")).toEqual([]);
});

test("agents go in batches of the configured size", async () => {
  outdate(existing, /^agent/);
  const operations = new FakeOperations(existing);
  const started = await start(CONFIG, {
    operations,
    onRegister: (r) => {
      operations.onRegister(r);
      if (r.type === INSTANCE && r.name.startsWith("demo-agent")) operations.held.add(r.name.replace("demo-", ""));
    },
  });
  const ready = readyOf(started);
  await operations.logged("register agent-1", "register agent-2");
  await barrier();
  expect(operations.registered("agent")).toEqual(["agent-1", "agent-2"]);
  operations.release("agent-1");
  await operations.logged("register agent-3");
  await barrier();
  expect(operations.registered("agent")).toEqual(["agent-1", "agent-2", "agent-3"]);
  for (const name of ["agent-2", "agent-3", "agent-4", "agent-5"]) {
    await operations.logged(`register ${name}`);
    operations.release(name);
  }
  expect(await ready).toBe("ready");
});

test("groups go in order: agents begin when the last master is ready", async () => {
  outdate(existing, /^(bastion|master|agent|client)/);
  const operations = new FakeOperations(existing);
  const started = await start(CONFIG, { operations, onRegister: operations.onRegister });
  expect(await readyOf(started)).toBe("ready");
  const order = operations.registered("").filter((name) => name !== "registry");
  expect(order.map((name) => name.replace(/-\d$/, ""))).toEqual([
    "bastion",
    ...Array(3).fill("master"),
    ...Array(5).fill("agent"),
    "client",
  ]);
});

test("machines that do not run are replaced all at once, and before any that does", async () => {
  for (const name of ["master-1", "master-2"]) {
    const machine = existing.get(name);
    if (machine) machine.status = "ERROR";
  }
  outdate(existing, /^master-3/);
  const operations = new FakeOperations(existing);
  operations.held.add("master-1").add("master-2");
  const started = await start(CONFIG, { operations, onRegister: operations.onRegister });
  const ready = readyOf(started);
  await operations.logged("register master-1", "register master-2");
  await barrier();
  expect(operations.registered("master").sort()).toEqual(["master-1", "master-2"]);
  const triggers = (): unknown[] =>
    started.resources
      .filter((r) => r.type === INSTANCE && r.name.startsWith("demo-master"))
      .map((r) => [
        r.name,
        r.options.replacementTrigger,
        (r.inputs.metadata as Record<string, string>)["triplewide-replaces"],
      ]);
  expect(triggers().toSorted()).toEqual([
    ["demo-master-1", "demo-master-1-id", "demo-master-1-id"],
    ["demo-master-2", "demo-master-2-id", "demo-master-2-id"],
  ]);
  operations.release("master-1");
  operations.release("master-2");
  expect(await ready).toBe("ready");
  expect(triggers()).toContainEqual(["demo-master-3", "first", undefined]);
});

test("agents that run are replaced after those that do not run are ready again", async () => {
  const machine = existing.get("agent-3");
  if (machine) machine.status = "ERROR";
  outdate(existing, /^agent-1/);
  const operations = new FakeOperations(existing);
  operations.held.add("agent-3");
  const started = await start(CONFIG, { operations, onRegister: operations.onRegister });
  const ready = readyOf(started);
  await operations.logged("register client", "ready? agent-3");
  await barrier();
  expect(operations.registered("agent-1")).toEqual([]);
  operations.release("agent-3");
  expect(await ready).toBe("ready");
  expect(operations.registered("agent-1")).toEqual(["agent-1"]);
});

test("a machine that took the place of a broken one is not replaced again", async () => {
  const machine = existing.get("agent-1");
  if (machine) machine.replaces = "the-broken-one";
  const operations = Object.assign(new FakeOperations(existing), { waits: false });
  const { resources } = await run(CONFIG, { operations });
  const agent = resources.find((r) => r.type === INSTANCE && r.name === "demo-agent-1");
  expect(agent?.options.replacementTrigger).toBe("the-broken-one");
  expect(agent?.inputs.metadata).toMatchObject({ "triplewide-replaces": "the-broken-one" });
});

test("a preview waits for no machine, whatever has changed", async () => {
  outdate(existing, /./);
  const operations = Object.assign(new FakeOperations(existing), { waits: false });
  const { resources, spark } = await run(CONFIG, { preview: true, operations });
  await spark.ready;
  expect(operations.log).toEqual([]);
  expect(resources.filter((r) => r.type === INSTANCE).length).toBe(existing.size);
});

test("a gate that is not passed fails the update", async () => {
  const operations = new FakeOperations(existing);
  operations.broken.set("gates master", "4 of 5 Spark workers registered");
  const started = await start(CONFIG, { operations, onRegister: operations.onRegister });
  expect(await readyOf(started)).toContain("the cluster is not ready");
  expect(operations.log.at(-1)).toBe("close");
});

const MARATHON = configOf("marathon-standalone", { datanodeCount: 0, namenodeCount: 1 });

test("Marathon gets its apps once it leads, and workers are counted after that", async () => {
  const operations = new FakeOperations();
  const started = await start(MARATHON, { operations, onRegister: operations.onRegister });
  expect(await readyOf(started)).toBe("ready");
  const last = ["gates master", "quotas", "apps /spark/master /spark/worker", "gates client", "close"];
  expect(operations.log.slice(-5)).toEqual(last);
  const [master] = operations.applied;
  expect(JSON.stringify(master)).toMatch(/10\.72\.0\.12:5000\/triplewide\/spark-python@sha256:[0-9a-f]{64}/);
  expect(JSON.stringify(operations.applied)).not.toMatch(/\{\{|made-up-secret/);
});

test("apps that do not run fail the update, and no worker is counted", async () => {
  const operations = new FakeOperations();
  operations.broken.set("apps", "/spark/worker: 0 of 3 healthy");
  const started = await start(MARATHON, { operations, onRegister: operations.onRegister });
  expect(await readyOf(started)).toContain("the cluster is not ready");
  expect(operations.log.slice(-2)).toEqual(["apps /spark/master /spark/worker", "close"]);
});

const TEAMS = configOf("docker-executors", {
  datanodeCount: 0,
  namenodeCount: 1,
  agentCpus: 8,
  teams: { ml: { cpus: 4, memoryMiB: 8192 } },
});

test("teams get their quotas once Mesos leads and has its agents; a quota that Mesos refuses fails the update", async () => {
  const operations = new FakeOperations();
  const started = await start(TEAMS, { operations, onRegister: operations.onRegister });
  expect(await readyOf(started)).toBe("ready");
  expect(operations.log.slice(-3)).toEqual(["gates master", "quotas ml=4", "close"]);

  const refusing = new FakeOperations();
  refusing.broken.set("quotas", "the leading Mesos master refuses UPDATE_QUOTA");
  const failed = await start(TEAMS, { operations: refusing, onRegister: refusing.onRegister });
  expect(await readyOf(failed)).toContain("the cluster is not ready");
});

test("another quota changes no resource, and one team more its masters and the client", async () => {
  const machines = async (teams: object): Promise<string[]> => {
    const { resources } = await run({ ...TEAMS, teams });
    return resources.map((r) => JSON.stringify([r.type, r.name, r.inputs])).sort();
  };
  const one = await machines({ ml: { cpus: 4, memoryMiB: 8192 } });
  expect(await machines({ ml: { cpus: 6, memoryMiB: 9000, weight: 3 } })).toEqual(one);
  const more = await machines({ ml: { cpus: 4, memoryMiB: 8192 }, bi: { cpus: 2, memoryMiB: 4096 } });
  const changed = more.filter((text) => !one.includes(text)).map((text) => JSON.parse(text)[1] as string);
  expect(changed.filter((name) => /agent/.test(name))).toEqual([]);
  expect(changed.filter((name) => /(master|client)/.test(name)).length).toBeGreaterThan(1);
});

test("one worker more changes no resource", async () => {
  const one = await describeRun({ marathonWorkers: 1 });
  const two = await describeRun({ marathonWorkers: 2 });
  expect(two).toEqual(one);
});

async function describeRun(more: Record<string, unknown>): Promise<string[]> {
  const { resources } = await run({ ...MARATHON, ...more });
  return resources.map((r) => JSON.stringify([r.type, r.name, r.inputs])).sort();
}
