import type { Room } from "../cluster/scaling.ts";
import type { QuotaConfig } from "./operator.ts";

/** What a leading master says of its agents, of what runs on them, and of who has it run. Pure: the caller has asked. */

/** An agent that has registered. */
export interface MesosAgent {
  id: string;
  /** Its address, which is its host name as well. */
  host: string;
  /**
   * `active` gets tasks; `deactivated` gets none until it is given back; `drained` is one that an operator has taken out of service, or
   * is about to; `away` is not connected.
   */
  state: "active" | "deactivated" | "drained" | "away";
  /** When it registered last with this master, in milliseconds as `Date.now()` counts. */
  since: number;
  total: Room;
  /** What its tasks and their executors have. */
  used: Room;
}

/** A task that has not ended, as far as the master knows. */
export interface MesosTask {
  agent: string;
  framework: string;
  has: Room;
}

/** A framework that is there. */
export interface MesosFramework {
  id: string;
  role: string;
  /** Where it says that its page is; empty where it has none. */
  page: string;
}

/** What a role is guaranteed, and the most that it may have: infinitely much where nothing is said. */
export interface MesosQuota {
  role: string;
  guaranteed: Room;
  most: Room;
}

export interface MesosState {
  agents: MesosAgent[];
  tasks: MesosTask[];
  /** When the last task ended on an agent that the master remembers, by the agent's id, in milliseconds as above. */
  ended: ReadonlyMap<string, number>;
  frameworks: MesosFramework[];
  quotas: MesosQuota[];
}

interface Id {
  value: string;
}
interface Time {
  nanoseconds: number;
}
interface Resource {
  name: string;
  scalar?: { value: number };
}
interface AgentAnswer {
  agent_info: { id: Id; hostname: string };
  active: boolean;
  deactivated?: boolean;
  drain_info?: { state: string };
  registered_time?: Time;
  reregistered_time?: Time;
  total_resources?: Resource[];
  allocated_resources?: Resource[];
}
interface TaskAnswer {
  name: string;
  agent_id: Id;
  framework_id: Id;
  resources?: Resource[];
  statuses?: { timestamp?: number }[];
}
interface FrameworkAnswer {
  framework_info: { id: Id; role?: string; roles?: string[]; webui_url?: string };
  active: boolean;
  connected: boolean;
}

/** What a leading master has answered to these calls. */
export interface Answers {
  GET_AGENTS: unknown;
  GET_TASKS: unknown;
  GET_FRAMEWORKS: unknown;
  GET_QUOTA: unknown;
}

export function readState(answers: Answers): MesosState {
  const { get_tasks: tasks } = answers.GET_TASKS as { get_tasks?: { completed_tasks?: TaskAnswer[] } };
  const { get_frameworks: frameworks } = answers.GET_FRAMEWORKS as {
    get_frameworks?: { frameworks?: FrameworkAnswer[] };
  };
  const { get_quota: quota } = answers.GET_QUOTA as { get_quota?: { status?: { configs?: QuotaConfig[] } } };
  const ended = new Map<string, number>();
  for (const { agent_id: agent, statuses = [] } of tasks?.completed_tasks ?? []) {
    const last = Math.max(0, ...statuses.map(({ timestamp = 0 }) => timestamp * 1000));
    ended.set(agent.value, Math.max(last, ended.get(agent.value) ?? 0));
  }
  return {
    agents: readAgents(answers.GET_AGENTS),
    tasks: readTasks(answers.GET_TASKS),
    ended,
    frameworks: (frameworks?.frameworks ?? [])
      .filter(({ active, connected }) => active && connected)
      .map(({ framework_info: { id, role, roles, webui_url: page = "" } }) => ({
        id: id.value,
        role: roles?.[0] ?? role ?? "*",
        page,
      })),
    quotas: (quota?.status?.configs ?? []).map(({ role, guarantees, limits }) => ({
      role,
      guaranteed: { cores: guarantees?.cpus?.value ?? 0, memoryMiB: guarantees?.mem?.value ?? 0 },
      most: { cores: limits?.cpus?.value ?? Infinity, memoryMiB: limits?.mem?.value ?? Infinity },
    })),
  };
}

const answeredAgents = (body: unknown): AgentAnswer[] =>
  (body as { get_agents?: { agents?: AgentAnswer[] } }).get_agents?.agents ?? [];

const answeredTasks = (body: unknown): TaskAnswer[] =>
  (body as { get_tasks?: { tasks?: TaskAnswer[] } }).get_tasks?.tasks ?? [];

/** The agents that a master has answered GET_AGENTS with. */
export function readAgents(body: unknown): MesosAgent[] {
  const milliseconds = (time: Time | undefined): number => (time?.nanoseconds ?? 0) / 1e6;
  return answeredAgents(body).map((agent) => ({
    id: agent.agent_info.id.value,
    host: agent.agent_info.hostname,
    state:
      agent.drain_info !== undefined
        ? "drained"
        : agent.deactivated === true
          ? "deactivated"
          : agent.active
            ? "active"
            : "away",
    // A master that took over knows of no task that ended before.
    since: Math.max(milliseconds(agent.registered_time), milliseconds(agent.reregistered_time)),
    total: readResources(agent.total_resources),
    used: readResources(agent.allocated_resources),
  }));
}

/** The tasks that have not ended of those that a master has answered GET_TASKS with. */
export function readTasks(body: unknown): MesosTask[] {
  return answeredTasks(body).map(readTask);
}

const readTask = ({ agent_id: agent, framework_id: framework, resources }: TaskAnswer): MesosTask => ({
  agent: agent.value,
  framework: framework.value,
  has: readResources(resources),
});

function readResources(resources: readonly Resource[] = []): Room {
  const sum = (wanted: string): number =>
    resources.reduce((total, { name, scalar }) => total + (name === wanted ? (scalar?.value ?? 0) : 0), 0);
  return { cores: sum("cpus"), memoryMiB: sum("mem") };
}

/** An agent that an operator takes out of service. */
export interface AgentState {
  id: string;
  drain: "none" | "draining" | "drained";
}

/** The agent at an address, which is its host name as well; `undefined` where none has registered from there. */
export function agentAt(body: unknown, address: string): AgentState | undefined {
  const found = answeredAgents(body).find((a) => a.agent_info.hostname === address);
  if (!found) return undefined;
  const state = found.drain_info?.state;
  return {
    id: found.agent_info.id.value,
    drain: state === "DRAINED" ? "drained" : state === "DRAINING" ? "draining" : "none",
  };
}

/** Names of the tasks that an agent runs. */
export const tasksOn = (body: unknown, agentId: string): string[] =>
  answeredTasks(body)
    .filter((t) => t.agent_id.value === agentId)
    .map((t) => t.name);
