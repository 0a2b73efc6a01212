import { teamOf } from "../cluster/agent-groups.ts";
import {
  type AgentUse,
  type Demand,
  type Load,
  lackingAgents,
  type Room,
  SHUFFLES_STAY,
  scaledAgents,
  type Waiting,
} from "../cluster/scaling.ts";
import type { Cluster, Machine } from "../cluster/types.ts";
import { UserError } from "../lib/errors.ts";
import { askLeader, type Operator } from "./leader.ts";
import { type MesosAgent, type MesosFramework, type MesosState, readState } from "./state.ts";

/** What runs on a cluster whose executors Mesos starts, for `wantedAgents`. */

/**
 * Whom to ask what masters do not know: a framework takes offers or declines them, and never says what it waits for. `undefined` is no
 * answer.
 */
export interface Askable {
  /** Whether an agent on which nothing runs has shuffle files of applications that have not ended. */
  shuffles: (agent: Machine) => Promise<boolean | undefined>;
  /** What a framework's driver would have. */
  demand: (framework: MesosFramework) => Promise<Demand | undefined>;
}

/**
 * What runs on a cluster.
 *
 * @throws UserError where no master leads, or an operator has taken an agent out of service: nothing may be concluded from that.
 */
export async function mesosLoad(operator: Operator, ask: Askable): Promise<Load> {
  const { cluster } = operator;
  const state = readState({
    GET_AGENTS: await askLeader(operator, { type: "GET_AGENTS" }),
    GET_TASKS: await askLeader(operator, { type: "GET_TASKS" }),
    GET_FRAMEWORKS: await askLeader(operator, { type: "GET_FRAMEWORKS" }),
    GET_QUOTA: await askLeader(operator, { type: "GET_QUOTA" }),
  });
  const idle = scaledAgents(cluster).filter(({ address }) => {
    const agent = state.agents.find(({ host }) => host === address);
    return agent !== undefined && !works(state, agent);
  });
  // Without shuffle services, such files go with their executors, and an idle agent has no executors.
  const shuffles = idle.map(async (agent) => {
    const has = cluster.config.dynamicAllocation ? await ask.shuffles(agent) : false;
    return [agent.name, has] as const;
  });
  const demands = state.frameworks.map(async (framework) => [framework.id, await ask.demand(framework)] as const);
  return loadOf(cluster, state, {
    shuffles: known(await Promise.all(shuffles)),
    demands: known(await Promise.all(demands)),
    now: Date.now(),
  });
}

const known = <T>(entries: readonly (readonly [string, T | undefined])[]): Map<string, T> =>
  new Map(entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));

/** Whether an agent has a task, including one that is about to start, or an executor. */
const works = ({ tasks }: MesosState, { id, used }: MesosAgent): boolean =>
  used.cores > 0 || used.memoryMiB > 0 || tasks.some(({ agent }) => agent === id);

/** What the master does not know itself. */
interface Asked {
  /** By the agent's name, of those on which nothing runs; one that is missing did not answer. */
  shuffles: ReadonlyMap<string, boolean>;
  /** By the framework's id, of those whose drivers said it. */
  demands: ReadonlyMap<string, Demand>;
  /** In milliseconds as `Date.now()` counts. */
  now: number;
}

/** @throws UserError where an operator has taken an agent out of service. */
export function loadOf(cluster: Cluster, state: MesosState, { shuffles, demands, now }: Asked): Load {
  const at = new Map(state.agents.map((agent) => [agent.host, agent]));
  const drained = cluster.machines.filter(({ address }) => at.get(address)?.state === "drained");
  if (drained.length > 0) {
    const names = drained.map(({ name }) => name).join(", ");
    throw new UserError(
      `an operator has taken ${names} out of service; nothing was changed. Fix: triplewide drain … --back, or remove it by removedAgents`,
    );
  }
  const agents = new Map<string, AgentUse>();
  const leaving: string[] = [];
  for (const { name, address } of scaledAgents(cluster)) {
    const agent = at.get(address);
    if (agent === undefined || agent.state === "away") continue;
    if (agent.state === "deactivated") leaving.push(name);
    agents.set(name, useOf(state, agent, shuffles.get(name), now));
  }
  return { agents, lacking: lacking(cluster, state, demands), leaving };
}

function useOf(state: MesosState, agent: MesosAgent, shuffles: boolean | undefined, now: number): AgentUse {
  if (works(state, agent)) {
    const tasks = state.tasks.filter((task) => task.agent === agent.id).length;
    return { stays: tasks === 1 ? "a task runs on it" : `${tasks} tasks run on it` };
  }
  if (shuffles === undefined) return { stays: "it does not say whether it has shuffle files" };
  if (shuffles && state.tasks.length > 0) return { stays: SHUFFLES_STAY };
  if (agent.state === "deactivated") return { idleMinutes: Number.POSITIVE_INFINITY };
  const since = Math.max(agent.since, state.ended.get(agent.id) ?? 0);
  return { idleMinutes: Math.max(0, now - since) / 60_000 };
}

/** Agents that would take the executors for which there is no room. */
function lacking(cluster: Cluster, state: MesosState, demands: ReadonlyMap<string, Demand>): number {
  const { config } = cluster;
  const active = new Map(state.agents.filter((a) => a.state === "active").map((agent) => [agent.host, agent]));
  const empty = scaledAgents(cluster).flatMap(({ address }) => active.get(address) ?? [])[0]?.total;
  const jobs = state.frameworks.flatMap((framework) => {
    const demand = demands.get(framework.id);
    return demand === undefined ? [] : [waitingFor(cluster, state, { framework, demand, active, empty })];
  });
  return lackingAgents(config, jobs, empty);
}

interface Job {
  framework: MesosFramework;
  demand: Demand;
  /** Agents that get tasks, by their address. */
  active: ReadonlyMap<string, MesosAgent>;
  empty: Room | undefined;
}

/** What a driver waits for, as far as its role may have it, and agents like those that may come suit it. */
function waitingFor(cluster: Cluster, state: MesosState, { framework, demand, active, empty }: Job): Waiting {
  const { config } = cluster;
  const { id, role } = framework;
  const own = state.tasks.filter((task) => task.framework === id);
  const cores = demand.executorCores ?? empty?.cores ?? 1;
  const each = { cores, memoryMiB: demand.executorMiB };
  const coresLeft = demand.coresMax - sumOf(own.map(({ has }) => has)).cores;
  // Where the number of cores of an executor is not set, the last one takes the cores that are left.
  const byCores = demand.executorCores === undefined ? Math.ceil(coresLeft / cores) : Math.floor(coresLeft / cores);
  const most = state.quotas.find((quota) => quota.role === role)?.most;
  const has = usedBy(state, role);
  const byQuota = most
    ? Math.min((most.cores - has.cores) / cores, (most.memoryMiB - has.memoryMiB) / each.memoryMiB)
    : Number.POSITIVE_INFINITY;
  const suits = [...demand.attributes].every(([name, values]) => {
    const value = config.mesosAttributes[name];
    return value !== undefined && (values.length === 0 || values.includes(value));
  });
  const executors = Math.min(demand.executors - own.length, byCores, Math.floor(byQuota));
  return {
    executors: suits ? Math.max(0, executors) : 0,
    each,
    free: withoutCores(
      cluster.machines.flatMap((machine) => roomFor(cluster, role, machine, active)),
      keptForOthers(state, role),
    ),
  };
}

/** What an agent has left that a role may be offered: those that are kept for a team are offered to it alone. */
function roomFor(cluster: Cluster, role: string, machine: Machine, active: Job["active"]): Room[] {
  const agent = active.get(machine.address);
  const team = teamOf(cluster.config, machine.subgroup);
  if (agent === undefined || (team !== undefined && team !== role)) return [];
  const { total, used } = agent;
  return [{ cores: total.cores - used.cores, memoryMiB: total.memoryMiB - used.memoryMiB }];
}

/** Cores that Mesos keeps free because other roles are guaranteed them. */
const keptForOthers = (state: MesosState, role: string): number =>
  state.quotas
    .filter((quota) => quota.role !== role)
    .reduce((sum, quota) => sum + Math.max(0, quota.guaranteed.cores - usedBy(state, quota.role).cores), 0);

/** What the tasks of a role have. */
function usedBy({ frameworks, tasks }: MesosState, role: string): Room {
  const ids = new Set(frameworks.filter((framework) => framework.role === role).map(({ id }) => id));
  return sumOf(tasks.filter(({ framework }) => ids.has(framework)).map(({ has }) => has));
}

const sumOf = (rooms: readonly Room[]): Room => ({
  cores: rooms.reduce((sum, { cores }) => sum + cores, 0),
  memoryMiB: rooms.reduce((sum, { memoryMiB }) => sum + memoryMiB, 0),
});

/** Rooms in which so many cores are not free. */
function withoutCores(rooms: readonly Room[], kept: number): Room[] {
  let left = kept;
  return rooms.map(({ cores, memoryMiB }) => {
    const taken = Math.min(left, cores);
    left -= taken;
    return { cores: cores - taken, memoryMiB };
  });
}
