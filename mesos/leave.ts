import { setTimeout as sleep } from "node:timers/promises";
import type { Machine } from "../cluster/types.ts";
import { UserError } from "../lib/errors.ts";
import { askLeader, type Operator } from "./leader.ts";
import { deactivateCall, reactivateCall } from "./operator.ts";
import { type MesosAgent, readAgents, readTasks } from "./state.ts";

/** How agents go without ending anything, and come back. */

/** An agent's machine, and what the leading master knows it as. */
type Known = [machine: Machine, agent: MesosAgent];

/** Those of some machines' agents that are in a state. */
async function agentsIn(
  operator: Operator,
  machines: readonly Machine[],
  state: MesosAgent["state"],
): Promise<Known[]> {
  const agents = readAgents(await askLeader(operator, { type: "GET_AGENTS" }));
  return machines.flatMap((machine): Known[] => {
    const agent = agents.find(({ host }) => host === machine.address);
    return agent?.state === state ? [[machine, agent]] : [];
  });
}

/**
 * Has agents get no further tasks, and ends none: `DRAIN_AGENT` would.
 *
 * @returns Those of them on which tasks run: they started after it was seen that nothing runs there.
 * @throws UserError where no master leads, or it refuses, as Mesos before 1.9 does.
 */
export async function leaveMesos(operator: Operator, machines: readonly Machine[]): Promise<Machine[]> {
  for (const [, { id }] of await agentsIn(operator, machines, "active")) await askLeader(operator, deactivateCall(id));
  const going = await agentsIn(operator, machines, "deactivated");
  // Asked after the deactivations were answered: the master authorizes requests in order, so offers accepted earlier are tasks by now.
  const tasks = readTasks(await askLeader(operator, { type: "GET_TASKS" }));
  return going.filter(([, { id }]) => tasks.some(({ agent }) => agent === id)).map(([machine]) => machine);
}

/**
 * Has agents get tasks again that were to go.
 *
 * @throws UserError where no master leads, or it refuses.
 */
export async function returnToMesos(operator: Operator, machines: readonly Machine[]): Promise<void> {
  for (const [, { id }] of await agentsIn(operator, machines, "deactivated"))
    await askLeader(operator, reactivateCall(id));
}

/** A master takes an agent for lost that has not answered for 75 s (`agent_ping_timeout`, `max_agent_ping_timeouts`). */
const FORGOTTEN_MS = 120_000;
const POLL_MS = 2000;

/**
 * Waits until the leading master has seen that machines are gone. It takes a new agent at the address of one that said nothing for that
 * one, which was to get nothing. Not `MARK_AGENT_GONE`: what that sends to the address may reach an agent that comes there later, for as long
 * as TCP tries, and ends it.
 *
 * @throws UserError where no master leads, or it still knows one of them after two minutes.
 */
export async function forgotten(operator: Operator, machines: readonly Machine[], pollMs = POLL_MS): Promise<void> {
  const deadline = Date.now() + FORGOTTEN_MS;
  for (;;) {
    const left = await agentsIn(operator, machines, "deactivated");
    if (left.length === 0) return;
    if (Date.now() > deadline)
      throw new UserError(`the leading master still knows ${left.map(([{ name }]) => name).join(", ")}`);
    await sleep(pollMs);
  }
}
