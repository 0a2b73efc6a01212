import { describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { type Demand, withAgents } from "../../cluster/scaling.ts";
import type { Cluster } from "../../cluster/types.ts";
import type { RawConfig } from "../../config/validate.ts";
import type { Operator } from "../../mesos/leader.ts";
import { forgotten, leaveMesos, returnToMesos } from "../../mesos/leave.ts";
import { loadOf, mesosLoad } from "../../mesos/load.ts";
import { type Answers, readState } from "../../mesos/state.ts";
import { driverDemand, readDemand } from "../../spark/demand.ts";
import type { OnMachines } from "../../spark/master.ts";
import { problems } from "../fixtures/problems.ts";

/** `triplewide scale` where Mesos starts executors, with a master's answers as a real one (1.11.1) gives them. */

const RANGE: RawConfig = {
  platform: "docker",
  architecture: "vanilla",
  agentsMin: 1,
  agentsMax: 6,
  agentCount: 1,
  agentCpus: 4,
  agentMemoryMiB: 8192,
};
const clusterOf = (agents: number, more: RawConfig = {}): Cluster =>
  describeCluster(withAgents(validate({ ...RANGE, ...more }, "lab"), agents));
const addressOf = (number: number): string => `10.72.0.${63 + number}`;

const NOW = Date.parse("2026-11-27T16:00:00Z");
const minutesAgo = (minutes: number): number => NOW - 60_000 * minutes;
const time = (milliseconds: number) => ({ nanoseconds: milliseconds * 1e6 });
const resources = (cpus: number, mem: number) => [
  { name: "cpus", type: "SCALAR", scalar: { value: cpus } },
  { name: "mem", type: "SCALAR", scalar: { value: mem } },
  { name: "ports", type: "RANGES", ranges: { range: [{ begin: 31000, end: 32000 }] } },
];

/** An agent that registered two hours ago, by its number or its address. */
const agent = (at: number | string, more: object = {}) => ({
  agent_info: { hostname: typeof at === "string" ? at : addressOf(at), id: { value: `S${at}` }, port: 5051 },
  active: true,
  deactivated: false,
  version: "1.11.1",
  registered_time: time(minutesAgo(120)),
  total_resources: resources(4, 8192),
  allocated_resources: [],
  offered_resources: [],
  ...more,
});
const leaving = { active: false, deactivated: true };
const framework = (id: string, more: object = {}, info: object = {}) => ({
  framework_info: { id: { value: id }, name: id, roles: ["spark"], webui_url: "http://10.72.0.11:4040", ...info },
  active: true,
  connected: true,
  recovered: false,
  ...more,
});
const task = (at: number, id = "F1", cpus = 1, more: object = {}) => ({
  agent_id: { value: `S${at}` },
  framework_id: { value: id },
  name: `${id} ${at}`,
  state: "TASK_RUNNING",
  resources: resources(cpus, 2048 * cpus),
  ...more,
});
const ended = (at: number, minutes: number) =>
  task(at, "F0", 1, {
    state: "TASK_FINISHED",
    statuses: [
      { state: "TASK_RUNNING", timestamp: minutesAgo(minutes + 30) / 1000 },
      { state: "TASK_FINISHED", timestamp: minutesAgo(minutes) / 1000 },
    ],
  });

interface Said {
  agents?: object[];
  tasks?: object[];
  completed?: object[];
  frameworks?: object[];
  configs?: object[];
}
/** As a master answers: without the lists that are empty. */
const answers = ({ agents = [], tasks = [], completed = [], frameworks = [], configs = [] }: Said): Answers => ({
  GET_AGENTS: { type: "GET_AGENTS", get_agents: agents.length > 0 ? { agents } : {} },
  GET_TASKS: {
    type: "GET_TASKS",
    get_tasks: {
      ...(tasks.length > 0 ? { tasks } : {}),
      ...(completed.length > 0 ? { completed_tasks: completed } : {}),
    },
  },
  GET_FRAMEWORKS: { type: "GET_FRAMEWORKS", get_frameworks: frameworks.length > 0 ? { frameworks } : {} },
  GET_QUOTA: { type: "GET_QUOTA", get_quota: { status: configs.length > 0 ? { configs } : {} } },
});

const NO_FILES = new Map([1, 2, 3].map((n) => [`agent-${n}`, false]));
const stays = (why: string) => ({ stays: expect.stringContaining(why) });

describe("what runs on agents of Mesos", () => {
  const cluster = clusterOf(3);
  const load = (said: Said, files: ReadonlyMap<string, boolean> = NO_FILES) =>
    loadOf(cluster, readState(answers(said)), { shuffles: files, demands: new Map(), now: NOW });
  const use = (said: Said, files?: ReadonlyMap<string, boolean>) => Object.fromEntries(load(said, files).agents);

  test("is tasks, or nothing since the last one ended, or since it registered with this master", () => {
    const agents = [agent(1), agent(2), agent(3, { reregistered_time: time(minutesAgo(5)) })];
    expect(use({ agents, tasks: [task(1), task(1)], completed: [ended(2, 90), ended(2, 40), ended(3, 40)] })).toEqual({
      "agent-1": stays("2 tasks run on it"),
      "agent-2": { idleMinutes: 40 },
      "agent-3": { idleMinutes: 5 },
    });
    expect(use({ agents: [agent(1)] })).toEqual({ "agent-1": { idleMinutes: 120 } });
  });

  test("is what an executor holds that has no task", () => {
    expect(use({ agents: [agent(1, { allocated_resources: resources(0.5, 32) })] })["agent-1"]).toHaveProperty("stays");
  });

  test("is not known of an agent that is not connected, or that does not say whether it has shuffle files", () => {
    expect(use({ agents: [agent(1, { active: false }), agent(2)] }, new Map())).toEqual({
      "agent-2": stays("does not say"),
    });
  });

  test("is shuffle files, while any job is at work that may read them", () => {
    const files = new Map([["agent-2", true]]);
    const agents = [agent(1), agent(2)];
    expect(use({ agents, tasks: [task(1)] }, files)["agent-2"]).toEqual(stays("shuffle files"));
    expect(use({ agents }, files)["agent-2"]).toEqual({ idleMinutes: 120 });
  });

  test("an agent that was to go is idle for ever once nothing runs on it", () => {
    const agents = [agent(1), agent(2, leaving), agent(3, leaving)];
    const said = load({ agents, tasks: [task(2)], completed: [ended(3, 0)] });
    expect(said.leaving).toEqual(["agent-2", "agent-3"]);
    expect(said.agents.get("agent-2")).toEqual(stays("a task runs on it"));
    expect(said.agents.get("agent-3")).toEqual({ idleMinutes: Number.POSITIVE_INFINITY });
  });

  test("nothing is concluded while an operator has an agent out of service", () => {
    const drained = agent(2, { ...leaving, drain_info: { state: "DRAINED", config: {} } });
    expect(() => load({ agents: [agent(1), drained] })).toThrow("an operator has taken agent-2 out of service");
  });
});

describe("agents are lacking", () => {
  const DEMAND: Demand = {
    executors: 8,
    coresMax: Number.POSITIVE_INFINITY,
    executorCores: 1,
    executorMiB: 2048,
    attributes: new Map(),
  };
  const full = { allocated_resources: resources(4, 8192) };
  /** A job of F1 with four executors on agent-1, which is full. */
  const AT_WORK: Said = {
    agents: [agent(1, full)],
    tasks: [1, 2, 3, 4].map(() => task(1)),
    frameworks: [framework("F1")],
  };
  const lacking = (said: Said, demand: Partial<Demand> = {}, more: RawConfig = {}): number =>
    loadOf(clusterOf(3, more), readState(answers(said)), {
      shuffles: NO_FILES,
      demands: new Map([["F1", { ...DEMAND, ...demand }]]),
      now: NOW,
    }).lacking;

  test("for what drivers would have and no agent has room for", () => {
    expect(lacking(AT_WORK, { executors: 4 })).toBe(0);
    expect(lacking(AT_WORK, { executors: 5 })).toBe(1);
    expect(lacking(AT_WORK, { executors: 9 })).toBe(2);
    expect(lacking(AT_WORK, { executors: Number.POSITIVE_INFINITY })).toBe(6);
    expect(lacking(AT_WORK, { executors: 9, coresMax: 5 })).toBe(1);
    expect(lacking(AT_WORK, { executors: 9, coresMax: 4 })).toBe(0);
    // The job takes whole agents until its limit of cores is reached.
    expect(lacking(AT_WORK, { executors: Number.POSITIVE_INFINITY, coresMax: 10, executorCores: undefined })).toBe(2);
    // An agent has memory for one executor.
    expect(lacking(AT_WORK, { executors: 6, executorMiB: 5000 })).toBe(2);
    expect(lacking({ frameworks: [framework("F1")] }, { executors: 2 })).toBe(2);
  });

  test("for nothing that Mesos could give and does not", () => {
    expect(lacking({ ...AT_WORK, agents: [agent(1, full), agent(2)] })).toBe(0);
    // An agent that is being removed, or is disconnected, has no room.
    expect(lacking({ ...AT_WORK, agents: [agent(1, full), agent(2, leaving), agent(3, { active: false })] })).toBe(1);
  });

  test("for no driver that is gone, or that nobody could ask", () => {
    expect(lacking({ ...AT_WORK, frameworks: [framework("F1", { active: false })] })).toBe(0);
    expect(lacking({ ...AT_WORK, frameworks: [framework("F2")] })).toBe(0);
  });

  test("for no more than a role may have, and for what is kept free for other roles", () => {
    const limit = (cores: number) => ({ role: "spark", guarantees: {}, limits: { cpus: { value: cores } } });
    expect(lacking({ ...AT_WORK, configs: [limit(4)] })).toBe(0);
    expect(lacking({ ...AT_WORK, configs: [limit(6)] })).toBe(1);
    expect(lacking({ ...AT_WORK, configs: [limit(6)] }, { executors: 60 })).toBe(1);
    const kept = { role: "ml", guarantees: { cpus: { value: 4 } }, limits: {} };
    const agents = [agent(1, full), agent(2)];
    expect(lacking({ ...AT_WORK, agents, configs: [kept] })).toBe(1);
    // What it is guaranteed, it has.
    const theirs = [...(AT_WORK.tasks ?? []), task(3, "F2", 4)];
    const frameworks = [framework("F1"), framework("F2", {}, { roles: undefined, role: "ml", webui_url: "" })];
    expect(lacking({ agents, tasks: theirs, frameworks, configs: [kept] })).toBe(0);
  });

  test("also beside agents that are kept for a team", () => {
    const teams = { ml: { cpus: 1, memoryMiB: 2048 } };
    const more = { teams, agentGroups: { big: { count: 1, team: "ml", cpus: 4, memoryMiB: 8192 } } };
    const big = clusterOf(3, more).machines.find(({ subgroup }) => subgroup === "big");
    const agents = [agent(1, full), agent(big?.address ?? "")];
    expect(lacking({ ...AT_WORK, agents }, {}, more)).toBe(1);
    expect(lacking({ ...AT_WORK, agents, frameworks: [framework("F1", {}, { roles: ["ml"] })] }, {}, more)).toBe(0);
  });

  test("where they would have the attributes that a job asks for", () => {
    const attributes = new Map([["disk", ["ssd", "nvme"]]]);
    expect(lacking(AT_WORK, { attributes })).toBe(0);
    expect(lacking(AT_WORK, { attributes }, { mesosAttributes: { disk: "hdd" } })).toBe(0);
    expect(lacking(AT_WORK, { attributes }, { mesosAttributes: { disk: "ssd" } })).toBe(1);
    const any = new Map([["disk", []]]);
    expect(lacking(AT_WORK, { attributes: any }, { mesosAttributes: { disk: "hdd" } })).toBe(1);
  });
});

/** The driver's page /metrics/json/. */
const metrics = (target?: number) => ({
  version: "4.0.0",
  gauges: {
    "F1.driver.BlockManager.memory.maxMem_MB": { value: 366 },
    ...(target === undefined
      ? {}
      : {
          "F1.driver.ExecutorAllocationManager.executors.numberMaxNeededExecutors": { value: 120 },
          "F1.driver.ExecutorAllocationManager.executors.numberTargetExecutors": { value: target },
        }),
  },
});
/** The driver's page /api/v1/applications/F1/environment. */
const environment = (properties: Record<string, string> = {}) => ({
  runtime: { javaVersion: "17.0.13 (Debian)" },
  sparkProperties: Object.entries({ "spark.app.id": "F1", "spark.executor.memory": "1024m", ...properties }),
});

describe("what a driver would have", () => {
  test("is what its metrics and properties say", () => {
    const properties = {
      "spark.cores.max": "4",
      "spark.executor.cores": "2",
      "spark.mesos.executor.memoryOverhead": "1000",
      "spark.mesos.constraints": "disk:ssd,nvme;group:",
    };
    expect(readDemand(metrics(7), environment(properties))).toEqual({
      executors: 7,
      coresMax: 4,
      executorCores: 2,
      executorMiB: 2024,
      attributes: new Map([
        ["disk", ["ssd", "nvme"]],
        ["group", []],
      ]),
    });
  });

  test("is all that there is, where nothing bounds it", () => {
    expect(readDemand(metrics(), environment({ "spark.executor.memory": "8g" }))).toEqual({
      executors: Number.POSITIVE_INFINITY,
      coresMax: Number.POSITIVE_INFINITY,
      executorCores: undefined,
      executorMiB: 8192 + 819,
      attributes: new Map(),
    });
    expect(() => readDemand(metrics(1), environment({ "spark.executor.memory": "much" }))).toThrow("no size");
  });

  /** Stands in for a client whose driver answers. */
  const driver = () => {
    const asked: string[] = [];
    const on: OnMachines = {
      run: async ({ name }, service, command) => {
        const [, at, path = ""] = /tcp\/(\S+) .*'GET (\S+) /.exec(command.at(-1) ?? "") ?? [];
        asked.push(`${name} ${service} ${at} ${path}`);
        const body = path.includes("metrics") ? metrics(3) : environment();
        return { code: 0, output: `HTTP/1.1 200 OK\r\n\r\n${JSON.stringify(body)}` };
      },
    };
    return { on, asked };
  };

  test("is asked on the client, at the address that it told the master", async () => {
    const { on, asked } = driver();
    const demand = await driverDemand(clusterOf(1), on, { id: "F1-0001", page: "http://10.72.0.11:4041" });
    expect(demand?.executors).toBe(3);
    expect(asked).toEqual([
      "client jupyter 10.72.0.11/4041 /metrics/json/",
      "client jupyter 10.72.0.11/4041 /api/v1/applications/F1-0001/environment",
    ]);
  });

  test.each([
    ["none of the cluster's", "F1", "http://192.168.1.1:80"],
    ["by a name", "F1", "http://example.org:4040"],
    ["by TLS", "F1", "https://10.72.0.11:4040"],
    ["not there", "F1", ""],
    ["a command", "F1", "http://10.72.0.11:4040/'; id #"],
    ["in order, and its id is a command", "F1'; id #", "http://10.72.0.11:4040"],
  ])("is not asked where its page is %s", async (_, id, page) => {
    const { on, asked } = driver();
    expect(await driverDemand(clusterOf(1), on, { id, page })).toBeUndefined();
    expect(asked).toEqual([]);
  });

  test("is not known where it does not answer, or is none of Spark's", async () => {
    const said = (output: string, code = 0): OnMachines => ({ run: async () => ({ code, output }) });
    const of = (on: OnMachines) => driverDemand(clusterOf(1), on, { id: "F1", page: "http://10.72.0.11:4040" });
    expect(await of(said("Connection refused", 1))).toBeUndefined();
    expect(await of(said("HTTP/1.1 404 Not Found\r\n\r\n"))).toBeUndefined();
    expect(await of(said("HTTP/1.1 200 OK\r\n\r\n<html>"))).toBeUndefined();
    expect(await of(said("HTTP/1.1 200 OK\r\n\r\n{}"))).toBeUndefined();
  });
});

describe("a leading master", () => {
  /** Three masters of which the second leads. It applies the calls that it gets; with `begins`, a task starts after that. */
  function masters(agents: (ReturnType<typeof agent> & object)[], { begins = false, refuses = "" } = {}) {
    const cluster = describeCluster(withAgents(validate({ ...RANGE, masterCount: 3 }, "lab"), 3));
    const told: string[] = [];
    let tasks: object[] = [];
    const operator: Operator = {
      cluster,
      run: async ({ name }, command) => {
        if (name === "master-1") return { code: 0, output: "HTTP/1.1 307 Temporary Redirect\r\n\r\n" };
        const [, type = ""] = /"type":"(\w+)"/.exec(command.at(-1) ?? "") ?? [];
        const [, id] = /"agent_id":\{"value":"(\w+)"/.exec(command.at(-1) ?? "") ?? [];
        if (type === refuses) return { code: 0, output: "HTTP/1.1 403 Forbidden\r\n\r\nno" };
        const found = agents.find(({ agent_info: info }) => info.id.value === id);
        if (found) {
          told.push(`${type} ${id}`);
          Object.assign(found, type === "REACTIVATE_AGENT" ? { active: true, deactivated: false } : leaving);
          if (begins) tasks = [task(2)];
          return { code: 0, output: "HTTP/1.1 200 OK\r\n\r\n" };
        }
        const body = answers({ agents, tasks, frameworks: [framework("F1")] })[type as keyof Answers];
        return { code: 0, output: `HTTP/1.1 200 OK\r\n\r\n${JSON.stringify(body)}` };
      },
    };
    const machines = (...numbers: number[]) =>
      numbers.flatMap((n) => cluster.machines.filter(({ name }) => name === `agent-${n}`));
    return { operator, told, machines };
  }

  test("is asked what runs, and agents on which nothing does for their shuffle files", async () => {
    const { operator } = masters([agent(1, { allocated_resources: resources(1, 1024) }), agent(2)]);
    const asked: string[] = [];
    const { agents, lacking } = await mesosLoad(operator, {
      shuffles: async ({ name }) => {
        asked.push(name);
        return false;
      },
      demand: async ({ id }) => {
        asked.push(id);
        return undefined;
      },
    });
    expect(asked).toEqual(["agent-2", "F1"]);
    expect([...agents.keys()]).toEqual(["agent-1", "agent-2"]);
    expect(lacking).toBe(0);
  });

  test("gives agents that are to go nothing more, and ends nothing", async () => {
    const { operator, told, machines } = masters([agent(1), agent(2), agent(3, leaving)]);
    expect(await leaveMesos(operator, machines(2, 3))).toEqual([]);
    expect(told).toEqual(["DEACTIVATE_AGENT S2"]);
  });

  test("says on which of them something began, and gives them tasks again", async () => {
    const { operator, told, machines } = masters([agent(1), agent(2), agent(3)], { begins: true });
    expect((await leaveMesos(operator, machines(2, 3))).map(({ name }) => name)).toEqual(["agent-2"]);
    await returnToMesos(operator, machines(1, 2, 3));
    expect(told.slice(2)).toEqual(["REACTIVATE_AGENT S2", "REACTIVATE_AGENT S3"]);
  });

  test("is waited for until it has seen that they are gone", async () => {
    const agents = [agent(1), agent(2, leaving), agent(3, leaving)];
    const { operator, machines } = masters(agents);
    let over = false;
    const waiting = forgotten(operator, machines(2, 3), 1).then(() => {
      over = true;
    });
    await forgotten(operator, machines(1), 1);
    expect(over).toBe(false);
    agents.splice(1, 2, agent(2));
    await waiting;
  });

  test("refuses with its reason", async () => {
    const { operator, machines } = masters([agent(1), agent(2)], { refuses: "DEACTIVATE_AGENT" });
    await expect(leaveMesos(operator, machines(2))).rejects.toThrow("refuses DEACTIVATE_AGENT (403): no");
  });
});

describe("a range of agents of Mesos", () => {
  test.each(["vanilla", "docker-executors", "mesos-in-docker"])("is taken in %s", (architecture) => {
    expect(problems({ ...RANGE, architecture })).toEqual([]);
  });

  test("is what drivers are told of", () => {
    const fixed = { ...RANGE, agentsMin: undefined, agentsMax: undefined };
    const told = "spark.files.fetchFailure.unRegisterOutputOnHost";
    expect(clusterOf(1).spark.conf[told]).toBe("true");
    expect(describeCluster(validate(fixed, "lab")).spark.conf).not.toHaveProperty(told);
  });

  test("leaves room for what teams are guaranteed while there are fewest", () => {
    const teams = { ml: { cpus: 4, memoryMiB: 4096 } };
    const more = { ...RANGE, agentCount: 3, defaultTeam: "ml", teams };
    expect(problems(more)).toEqual([]);
    expect(problems({ ...more, teams: { ml: { cpus: 5, memoryMiB: 4096 } } }).map(({ rule }) => rule)).toEqual([
      "with no more cpus together than the fewest agents (agentsMin) have, 4",
    ]);
  });
});
