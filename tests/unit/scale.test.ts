import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { pulumi } from "../../cli/pulumi.ts";
import { type Site, scaleSite } from "../../cli/scale.ts";
import { otherChanges } from "../../cli/update.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import {
  type AgentUse,
  type Load,
  lackingAgents,
  type Room,
  scaledAgents,
  type Waiting,
  withAgents,
} from "../../cluster/scaling.ts";
import type { Cluster } from "../../cluster/types.ts";
import { UserError } from "../../lib/errors.ts";
import { DISK_SCRIPT, loadOf, readDisk } from "../../spark/load.ts";
import {
  type OnMachines,
  readExecutors,
  requestCommand,
  type SparkApp,
  SparkMasters,
  type SparkWorker,
} from "../../spark/master.ts";

const run = promisify(execFile);
const RANGE = { platform: "docker", agentsMin: 1, agentsMax: 6, agentCount: 1, agentCpus: 4, agentMemoryMiB: 8192 };
const clusterOf = (agents: number): Cluster => describeCluster(withAgents(validate(RANGE, "lab"), agents));
const addressOf = (number: number): string => `10.72.0.${63 + number}`;

/** A worker as on the master's page, with room for four executors. */
const worker = (number: number, coresUsed = 0, state: SparkWorker["state"] = "ALIVE"): SparkWorker => {
  const memory = 4096;
  return { host: addressOf(number), state, cores: 4, coresUsed, memory, memoryUsed: 1024 * coresUsed };
};
const app = (granted: number, wanted = granted): SparkApp => {
  const executors = { granted, wanted };
  return { id: "app-1", cores: granted, executorMiB: 1024, executors };
};
const DISK = { idleSeconds: 3600, shuffles: false };

describe("what the master says of an application", () => {
  const page = (cores: string, limit: string) =>
    `<ul><li><strong>Cores:</strong>\n ${cores}\n</li><li><span title="No more > than"><strong>Executor Limit: </strong>\n ${limit}\n</span></li></ul>`;

  test("is how many executors it has, and how many it would have", () => {
    expect(readExecutors(page("9 (2 granted, 7 left)", "5 (2 granted)"), 1)).toEqual({ granted: 2, wanted: 5 });
    expect(readExecutors(page("4 (2 granted, 2 left)", "60 (2 granted)"), 1)).toEqual({ granted: 2, wanted: 4 });
    expect(readExecutors(page("9 (4 granted, 5 left)", "60 (2 granted)"), 2)).toEqual({ granted: 2, wanted: 4 });
    expect(readExecutors(page("Unlimited (2 granted)", "5 (2 granted)"), 1)).toEqual({ granted: 2, wanted: 5 });
    expect(readExecutors(page("9 (0 granted, 9 left)", "0 (0 granted)"), 1)).toEqual({ granted: 0, wanted: 0 });
    // The application has more executors than it requests, for a moment.
    expect(readExecutors(page("9 (3 granted, 6 left)", "1 (3 granted)"), 1)).toEqual({ granted: 3, wanted: 3 });
    expect(readExecutors(page("Unlimited (2 granted)", "Unlimited (2 granted)"), 1).wanted).toBe(Infinity);
  });

  test("or nothing that can be used", () => {
    expect(() => readExecutors("<html>Not found</html>", 1)).toThrow("says no limit");
  });
});

test.each([
  ["executors that are no number", { executors: Number.NaN }],
  ["an executor without cores", { executors: Number.POSITIVE_INFINITY, each: { cores: 0, memoryMiB: 0 } }],
  ["an executor of less than nothing", { each: { cores: -1, memoryMiB: -1 } }],
  ["cores that are no number", { each: { cores: Number.NaN, memoryMiB: 1024 } }],
])("a job that asks for %s keeps the others from no agent", (_, strange) => {
  const full = { cores: 0, memoryMiB: 0 };
  const honest = { executors: 3, each: { cores: 2, memoryMiB: 1024 }, free: [full] };
  const lacking = (jobs: Waiting[], free: Room[]) =>
    lackingAgents(
      { agentCount: 1, agentsMax: 9 },
      jobs.map((job) => ({ ...job, free })),
      { cores: 4, memoryMiB: 4096 },
    );
  for (const free of [[full], []]) {
    const alone = lacking(
      [
        { ...honest, executors: 0 },
        { ...honest, ...strange },
      ],
      free,
    );
    expect(Number.isInteger(alone)).toBe(true);
    expect(lacking([honest, { ...honest, ...strange }], free)).toBe(Math.min(9, 2 + alone));
  }
});

describe("what runs on agents", () => {
  const cluster = clusterOf(3);
  const use = (workers: SparkWorker[], apps: SparkApp[], disks = new Map([1, 2, 3].map((n) => [`agent-${n}`, DISK]))) =>
    Object.fromEntries(loadOf(cluster, { workers, apps }, disks).agents);
  const stays = (why: string) => ({ stays: expect.stringContaining(why) });

  test("is executors, or nothing for some time", () => {
    expect(use([worker(1, 2), worker(2)], [app(2)])).toEqual({
      "agent-1": stays("executors with 2 cores run"),
      "agent-2": { idleMinutes: 60 },
    });
    expect(use([worker(1), worker(2, 0, "DEAD"), worker(3, 0, "UNKNOWN")], [])).toEqual({
      "agent-1": { idleMinutes: 60 },
    });
    expect(use([worker(1)], [], new Map())).toEqual({ "agent-1": stays("does not say") });
  });

  test("is shuffle files, while any job is at work that may read them", () => {
    const disks = new Map([["agent-2", { idleSeconds: 3600, shuffles: true }]]);
    expect(use([worker(2)], [app(1)], disks)).toEqual({ "agent-2": stays("shuffle files") });
    expect(use([worker(2)], [app(0)], disks)).toEqual({ "agent-2": { idleMinutes: 60 } });
  });

  test("an agent that was to go is idle for ever once nothing runs on it", () => {
    const load = loadOf(
      cluster,
      { workers: [worker(1), worker(2, 1, "DECOMMISSIONED"), worker(3, 0, "DECOMMISSIONED")], apps: [] },
      new Map([1, 3].map((n) => [`agent-${n}`, { idleSeconds: 5, shuffles: false }])),
    );
    expect(load.leaving).toEqual(["agent-2", "agent-3"]);
    expect(load.agents.get("agent-2")).toEqual(stays("executors with 1 core run"));
    expect(load.agents.get("agent-3")).toEqual({ idleMinutes: Number.POSITIVE_INFINITY });
  });

  test("agents are lacking for what jobs wait for and no agent has room for", () => {
    const lacking = (workers: SparkWorker[], ...apps: SparkApp[]): number =>
      loadOf(cluster, { workers, apps }, new Map()).lacking;
    expect(lacking([worker(1, 4)], app(4, 5))).toBe(1);
    expect(lacking([worker(1, 4)], app(4, 9))).toBe(2);
    expect(lacking([worker(1, 4)], app(2, 4), app(2, 3))).toBe(2);
    expect(lacking([worker(1, 4)], app(4, Number.POSITIVE_INFINITY))).toBe(6);
    expect(lacking([worker(1, 4)], app(4))).toBe(0);
    // There is room that the master does not give to the application, so it waits for another reason.
    expect(lacking([worker(1, 4), worker(2)], app(4, 6))).toBe(0);
    // An agent that is being removed, or is dead, has no room.
    expect(lacking([worker(1, 4), worker(2, 0, "DECOMMISSIONED"), worker(3, 0, "DEAD")], app(4, 6))).toBe(1);
    expect(lacking([], app(0, 2))).toBe(2);
  });
});

describe("an agent's disk", () => {
  const folder = mkdtempSync(join(tmpdir(), "agent-disk-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const put = (path: string, secondsAgo: number): void => {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, "x");
    const time = Date.now() / 1000 - secondsAgo;
    utimesSync(file, time, time);
  };
  const disk = async () => {
    const { stdout } = await run("bash", ["-c", DISK_SCRIPT, "bash", join(folder, "applications"), folder]);
    return readDisk(stdout);
  };

  test("says since when nothing runs, and whether there are shuffle files", async () => {
    const { stdout } = await run("ps", ["-o", "etimes=", "-p", "1"]);
    const first = await disk();
    expect(first?.shuffles).toBe(false);
    // No executor ever ran, so the time since the worker's start counts.
    expect(Math.abs((first?.idleSeconds ?? 0) - Number(stdout))).toBeLessThan(20);
    put("applications/app-1/0/stderr", 3000);
    put("applications/app-1/1/stdout", 7);
    const seconds = (await disk())?.idleSeconds ?? 0;
    expect(seconds).toBeGreaterThanOrEqual(Math.min(7, Number(stdout)));
    expect(seconds).toBeLessThan(60);
    put("spark-1/executor-1/blockmgr-1/0c/temp_shuffle_1", 5);
    expect((await disk())?.shuffles).toBe(false);
    put("spark-1/executor-1/blockmgr-1/0d/shuffle_0_1_0.data", 90_000);
    expect((await disk())?.shuffles).toBe(false);
    put("spark-1/executor-1/blockmgr-1/0d/shuffle_0_2_0.data", 5);
    expect((await disk())?.shuffles).toBe(true);
  });

  test("or nothing that can be used", () => {
    expect(readDisk("ps: not found\nidle  shuffles no\n")).toBeUndefined();
  });
});

describe("the leading master", () => {
  const servers: Server[] = [];
  afterAll(() => {
    for (const server of servers) server.close();
  });

  test("is asked on its own machine, by whatever every machine has", async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end(JSON.stringify({ status: "ALIVE" }));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const [program = "", ...args] = requestCommand("127.0.0.1", port, "POST", "/workers/kill/?host=10.0.0.1");
    const { stdout } = await run(program, args);
    expect(stdout).toMatch(/^HTTP\/1.1 200 OK\r\n[\s\S]*\r\n\r\n\{"status":"ALIVE"\}$/);
    expect(asked).toEqual(["POST /workers/kill/?host=10.0.0.1"]);
  });

  test("whatever id an application is listed by, its page is asked for and nothing else", async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end("yes");
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const path = `/app/?appId=${encodeURIComponent("app'; (x) %s $(y)\\n")}`;
    const [program = "", ...args] = requestCommand("127.0.0.1", (server.address() as AddressInfo).port, "GET", path);
    expect((await run(program, args)).stdout).toMatch(/\r\n\r\nyes$/);
    expect(asked).toEqual([`GET ${path}`]);
  });

  /** Masters with given answers, by name. */
  const masters = (answers: Record<string, unknown>) => {
    const cluster = describeCluster(validate({ ...RANGE, masterCount: 3 }, "lab"));
    const sent: string[] = [];
    const on: OnMachines = {
      run: async ({ name }, service, command) => {
        const request = /'(GET|POST) (\S+) /.exec(command.at(-1) ?? "");
        sent.push(`${name} ${service} ${request?.[1]} ${request?.[2]}`);
        const answer = answers[name];
        if (answer === undefined) return { code: 1, output: "Connection refused" };
        return { code: 0, output: `HTTP/1.1 200 OK\r\n\r\n${JSON.stringify(answer)}` };
      },
    };
    return { masters: new SparkMasters(cluster, on), sent };
  };
  const listed = (number: number, state: string, coresused = 0) => {
    const memory = { memory: 4096, memoryused: 0 };
    return { host: addressOf(number), state, cores: 4, coresused, ...memory };
  };

  test("is found among the others, and sends away whom it has not sent away yet", async () => {
    const workers = [listed(1, "DEAD"), listed(1, "ALIVE", 2), listed(2, "DECOMMISSIONED"), listed(3, "ALIVE")];
    const { masters: three, sent } = masters({
      "master-2": { status: "STANDBY", workers: [], activeapps: [] },
      "master-3": { status: "ALIVE", workers, activeapps: [] },
    });
    const after = await three.sendAway([addressOf(1), addressOf(2)]);
    expect(after.map(({ host, coresUsed }) => [host, coresUsed])).toEqual([
      [addressOf(1), 2],
      [addressOf(2), 0],
    ]);
    expect(sent.filter((line) => line.includes("POST"))).toEqual([
      `master-3 spark-master POST /workers/kill/?host=${addressOf(1)}`,
    ]);
  });

  test("or none, which is said of each", async () => {
    const { masters: three } = masters({ "master-2": { status: "STANDBY", workers: [], activeapps: [] } });
    await expect(three.state(1)).rejects.toThrow(
      "no leading Spark master answers; nothing was changed:\n  master-1: Connection refused\n  master-2: STANDBY\n  master-3: Connection refused",
    );
  });
});

describe("scale", () => {
  /** The actions of a run of `scale`, in order, and its output. */
  async function scaled(
    agents: number,
    load: Partial<Load>,
    { dryRun = false, begun = [] as string[], fails = false, refused = false, broken = new Map<string, string>() } = {},
  ) {
    const cluster = clusterOf(agents);
    const done: string[] = [];
    const names = (machines: readonly { name: string }[]) => machines.map(({ name }) => name).join(" ");
    const site: Site = {
      cluster,
      load: async () => ({ agents: new Map(), lacking: 0, leaving: [], ...load }),
      sendAway: async (going) => {
        done.push(`send away ${names(going)}`);
        return going.filter(({ name }) => begun.includes(name));
      },
      giveBack: async (back) => void done.push(`give back ${names(back)}`),
      broken,
      refuse: async () => {
        if (refused) throw new UserError("something waits for its review");
      },
      apply: async (number) => {
        done.push(`apply ${number}`);
        if (fails) throw new UserError("the cloud is down");
      },
    };
    const said: string[] = [];
    const report = (line: string): void => void said.push(line);
    const error = await scaleSite(site, { now: new Date(), dryRun, report }).then(
      () => undefined,
      (reason: Error) => reason.message,
    );
    return { done, said, error };
  }
  const idle = (...numbers: number[]) => new Map(numbers.map((n) => [`agent-${n}`, { idleMinutes: 60 }]));

  test("sends away what goes before it goes", async () => {
    const { done, said } = await scaled(3, { agents: idle(1, 2, 3) });
    expect(done).toEqual(["send away agent-2 agent-3", "apply 1"]);
    expect(said).toEqual([
      "lab: 3 agents, should be 1",
      "  agentsMin is 1",
      "  agent-2, agent-3: nothing has run there for idleMinutes (30)",
    ]);
  });

  test("makes what is lacking, or changes nothing", async () => {
    expect((await scaled(1, { lacking: 2 })).done).toEqual(["apply 3"]);
    const { done, said } = await scaled(1, { agents: idle(1) });
    expect({ done, said }).toEqual({ done: [], said: ["lab: 1 agent, and that is right", "  agentsMin is 1"] });
  });

  test("--dry-run only says it", async () => {
    const { done, said } = await scaled(3, { agents: idle(1, 2, 3), leaving: ["agent-1"] }, { dryRun: true });
    expect(done).toEqual([]);
    expect(said).toContain("Nothing was changed (--dry-run).");
    expect(said).toContain("  agent-1 was to go, and is given back");
  });

  test("an executor that starts in the last moment keeps all of them", async () => {
    const { done, said } = await scaled(3, { agents: idle(1, 2, 3) }, { begun: ["agent-2"] });
    expect(done).toEqual(["send away agent-2 agent-3", "give back agent-2 agent-3"]);
    expect(said.at(-1)).toContain("Something began on agent-2 in this moment: nothing was removed.");
  });

  test("troubles no agent where it may change nothing", async () => {
    const { done, error } = await scaled(3, { agents: idle(1, 2, 3) }, { refused: true });
    expect({ done, error }).toEqual({ done: [], error: "something waits for its review" });
  });

  test("an agent that the cloud lost is made anew where it is wanted, and goes where it is not", async () => {
    const broken = new Map([["agent-2", "is broken: No valid host was found."]]);
    const agents = new Map<string, AgentUse>([["agent-1", { stays: "executors run on it" }]]);
    // The waiting job needs one agent. There is already one that only has to be repaired.
    const wanted = await scaled(2, { agents, lacking: 1 }, { broken });
    expect(wanted.done).toEqual(["apply 2"]);
    expect(wanted.said).toContain("  agent-2 is broken: No valid host was found.");
    expect((await scaled(2, { agents, lacking: 2 }, { broken })).done).toEqual(["apply 3"]);
    expect((await scaled(2, { agents }, { broken })).done).toEqual(["send away agent-2", "apply 1"]);
    // For a server in ERROR that still works, the masters' information counts.
    agents.set("agent-2", { stays: "executors run on it" });
    expect((await scaled(2, { agents }, { broken })).done).toEqual([]);
  });

  test("what an update that failed leaves there is given back", async () => {
    const { done, error } = await scaled(2, { agents: idle(1, 2) }, { fails: true });
    expect(done).toEqual(["send away agent-2", "apply 1", "give back agent-2"]);
    expect(error).toBe("the cloud is down");
  });

  test("an agent that was to go and is wanted is given back, unless something still runs on it", async () => {
    const agents = new Map<string, AgentUse>([...idle(2), ["agent-1", { stays: "executors run on it" }]]);
    const { done } = await scaled(2, { agents, leaving: ["agent-1", "agent-2"], lacking: 1 });
    expect(done).toEqual(["give back agent-2", "apply 3"]);
  });

  test("says why Pulumi refuses a preview that is read as JSON", async () => {
    const folder = mkdtempSync(join(tmpdir(), "pulumi-stand-in-"));
    const diagnostics = [
      { severity: "info", message: "reading" },
      { severity: "error", message: "the quota has room for 2 instances\n" },
    ];
    const script = `#!/bin/sh\ncat <<'END'\n${JSON.stringify({ steps: [], diagnostics })}\nEND\nexit 255\n`;
    writeFileSync(join(folder, "pulumi"), script, { mode: 0o755 });
    const env = { PATH: `${folder}:${process.env.PATH}` };
    await expect(pulumi(folder, ["preview", "--json"], "read", env)).rejects.toThrow(
      /^pulumi preview --json ended with 255: the quota has room for 2 instances$/,
    );
    rmSync(folder, { recursive: true });
  });

  test("changes nothing else on OpenStack", () => {
    const step = (op: string, type: string, name: string) => ({
      op,
      urn: `urn:pulumi:lab::triplewide::${type}::${name}`,
    });
    const instance = "triplewide:index:SparkCluster$triplewide:index:MachineGroup$openstack:compute/instance:Instance";
    const agents = [
      step("same", "pulumi:pulumi:Stack", "triplewide-lab"),
      step("update", "triplewide:index:SparkCluster", "lab"),
      step("create", instance, "lab-agent-3"),
      step("delete", instance, "lab-agent-4"),
      step("same", instance, "lab-client"),
    ];
    expect(otherChanges(agents, { name: "lab" })).toEqual([]);
    const others = [
      step("replace", instance, "lab-agent-1"),
      step("create", instance, "lab-agent-big-1"),
      step("delete", instance, "lab-client"),
      step("create", "openstack:blockstorage/volume:Volume", "other-agent-1"),
    ];
    expect(otherChanges([step("replace", instance, "lab-agent-1")], { name: "lab" }, ["agent-1"])).toEqual([]);
    expect(otherChanges([step("update", instance, "lab-agent-1")], { name: "lab" }, ["agent-1"])).toHaveLength(1);
    expect(otherChanges([...agents, ...others], { name: "lab" })).toEqual([
      "replace lab-agent-1",
      "create lab-agent-big-1",
      "delete lab-client",
      "create other-agent-1",
    ]);
    expect(
      scaledAgents(describeCluster(validate({ ...RANGE, agentGroups: { big: { count: 1 } } }, "lab"))),
    ).toHaveLength(1);
  });
});
