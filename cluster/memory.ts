import type { Config } from "../config/schema.ts";
import type { ArchitectureFacts } from "./architectures/facts.ts";

/** How much memory an executor needs, how much an agent has for executors, and how many fit. */

/**
 * Least MiB of an executor beside its heap. A JVM takes 250 to 300 MiB there, the Python that its workers are forked from
 * about 130: what is left is for the data of pandas and Arrow, over 600 MiB.
 */
const LEAST_OVERHEAD_MIB = 1024;
/** Part of the heap that the overhead is at least: data that Python gets is about as large as the heap that it comes from. */
const OVERHEAD_SHARE = 0.4;
/** MiB of a machine that are its system's own. */
const SYSTEM_MIB = 512;
/** Part of a flavor's memory that a guest sees: its kernel and firmware take the rest. */
const SEEN = 0.95;

type Executor = Pick<Config, "executorMemoryMiB" | "executorMemoryOverheadMiB">;
type Facts = Pick<ArchitectureFacts, "mesos" | "executorsStartedBy">;
type Agent = Pick<Config, "agentCpus" | "agentMemoryMiB" | "dynamicAllocation" | "agentFlavor" | "flavorSizes">;

/** MiB of an executor beside its heap: the JVM's own, Python workers, what Arrow holds. */
export const overheadMiB = (c: Executor): number =>
  c.executorMemoryOverheadMiB ?? Math.max(LEAST_OVERHEAD_MIB, Math.ceil(c.executorMemoryMiB * OVERHEAD_SHARE));

/** MiB that one executor takes of its agent. */
export const executorMiB = (c: Executor): number => c.executorMemoryMiB + overheadMiB(c);

/** The part of some memory for executors that is heap: Spark's own workers count nothing else. */
export const heapIn = (c: Executor, miB: number): number => Math.floor((miB * c.executorMemoryMiB) / executorMiB(c));

/**
 * MiB of shared memory that the programs of a container with drivers or executors may use. A bound, and no reservation: what is
 * used counts as theirs.
 */
export const SHM_MIB = 1024;

/** MiB of one of Spark's own daemons: 512 of heap and what a JVM takes beside it. */
export const DAEMON_MIB = 768;
const MESOS_AGENT_MIB = 256;

/** MiB of an agent's machine that its daemons take. Where Marathon runs Spark's, they are among what the agent offers. */
export function daemonsMiB(c: Pick<Config, "dynamicAllocation">, { mesos, executorsStartedBy }: Facts): number {
  if (mesos === "none") return DAEMON_MIB;
  return MESOS_AGENT_MIB + (executorsStartedBy === "mesos" && c.dynamicAllocation ? DAEMON_MIB : 0);
}

/** What one agent has for executors, as far as the config says so. */
export interface AgentSize {
  cores: number | undefined;
  memoryMiB: number | undefined;
}

/** What one agent has for executors: as the config says, else what its flavor leaves. */
export function agentSize(c: Agent, facts: Facts): AgentSize {
  const flavor = agentFlavorSize(c);
  const left = flavor && Math.max(0, roomOf(flavor.ramMiB, c, facts));
  return { cores: c.agentCpus ?? flavor?.vcpus, memoryMiB: c.agentMemoryMiB ?? left };
}

/** MiB that a machine has beside its system and its daemons; less than nothing where it is too small. */
export const roomOf = (ramMiB: number, c: Agent, facts: Facts): number => besideSystem(ramMiB) - daemonsMiB(c, facts);

/** MiB that a machine has beside its system. */
export const besideSystem = (ramMiB: number): number => Math.floor(ramMiB * SEEN) - SYSTEM_MIB;

/** The size of the agents' flavor, where `flavorSizes` tells it. */
export const agentFlavorSize = (c: Agent): Config["flavorSizes"][string] | undefined =>
  c.agentFlavor === undefined ? undefined : c.flavorSizes[c.agentFlavor];

/** Executors that an agent has memory for at a time; `undefined` where its memory is not known. */
function executorsPerAgent(c: Agent & Executor, facts: Facts): number | undefined {
  const { memoryMiB } = agentSize(c, facts);
  return memoryMiB === undefined ? undefined : Math.floor(memoryMiB / executorMiB(c));
}

/**
 * Cores of one executor: as many as leave no core of an agent idle when its memory is taken. Where jobs grow and shrink by
 * executors, one that takes all cores of its agent would leave nothing to share.
 *
 * @returns `undefined` where Spark decides.
 */
export function executorCores(c: Agent & Executor & Pick<Config, "executorCores">, facts: Facts): number | undefined {
  if (c.executorCores !== undefined || !c.dynamicAllocation) return c.executorCores;
  const { cores } = agentSize(c, facts);
  const executors = executorsPerAgent(c, facts);
  if (cores === undefined || executors === undefined) return 1;
  return Math.max(1, Math.floor(cores / Math.max(1, executors)));
}
