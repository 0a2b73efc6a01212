import { setTimeout as sleep } from "node:timers/promises";
import { hasMesos } from "../cluster/architectures/index.ts";
import { UserError } from "../lib/errors.ts";
import { askLeader, type Operator } from "./leader.ts";
import { drainCall, reactivateCall } from "./operator.ts";
import { type AgentState, agentAt, tasksOn } from "./state.ts";

/** What `drain` and `reactivate` work with. */
export interface DrainOptions extends Operator {
  /** Name of the agent's machine, such as `agent-2`. */
  agent: string;
  /** Seconds that each task has to end after it was asked to, before it is killed. */
  graceSeconds: number;
  /** Seconds after which waiting is given up. */
  timeoutSeconds: number;
  /** Takes one short line whenever something changed. */
  report: (line: string) => void;
}

const POLL_MS = 1000;

/**
 * Takes an agent out of service: no new tasks, those that run end, and their frameworks start them elsewhere. Returns when
 * it is empty. It stays out, also over restarts of masters and agent, until `reactivate`.
 *
 * @throws UserError when there is no such agent, when it is refused, or when tasks are left at the deadline.
 */
export async function drain(options: DrainOptions): Promise<void> {
  const { agent, graceSeconds, timeoutSeconds, report } = options;
  const began = Date.now();
  const first = await stateOf(options);
  if (first.drain === "none") await askLeader(options, drainCall(first.id, graceSeconds));
  let shown = "";
  for (;;) {
    const { drain: state, id } = await stateOf(options);
    if (state === "drained") break;
    const left = tasksOn(await askLeader(options, { type: "GET_TASKS" }), id);
    const line =
      left.length === 0 ? "no tasks, waiting for their frameworks to hear of it" : `${left.length} tasks left`;
    if (line !== shown) report(`${agent}: ${line}`);
    shown = line;
    if (Date.now() - began > timeoutSeconds * 1000) {
      throw new UserError(
        `${agent} is not empty after ${timeoutSeconds} s (${left.slice(0, 5).join(", ") || "tasks not acknowledged"}). It stays out of service; run this again to go on waiting.`,
      );
    }
    await sleep(POLL_MS);
  }
  report(
    `${agent} is drained after ${((Date.now() - began) / 1000).toFixed(1)} s and gets no tasks until it is given back.`,
  );
}

/** Gives a drained agent back to the cluster. */
export async function reactivate(options: DrainOptions): Promise<void> {
  const { id, drain: state } = await stateOf(options);
  if (state !== "none") await askLeader(options, reactivateCall(id));
  options.report(`${options.agent} takes tasks again.`);
}

async function stateOf(options: DrainOptions): Promise<AgentState> {
  const { cluster, agent } = options;
  if (!hasMesos(cluster.config)) throw new UserError(`${cluster.architecture} has no Mesos agents to drain`);
  const agents = cluster.machines.filter((m) => m.roles.includes("mesos-agent"));
  const machine = agents.find((m) => m.name === agent);
  if (!machine) {
    const known = agents.map((m) => m.name);
    const shown = known.length > 8 ? `${known[0]} to ${known.at(-1)}` : known.join(", ");
    throw new UserError(`no agent is called ${agent}; there are ${shown}`);
  }
  const found = agentAt(await askLeader(options, { type: "GET_AGENTS" }), machine.address);
  if (!found) throw new UserError(`${agent} (${machine.address}) is not registered with the leading master`);
  return found;
}
