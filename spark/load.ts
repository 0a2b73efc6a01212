import { architectureOf } from "../cluster/architectures/index.ts";
import { executorCores } from "../cluster/memory.ts";
import { type AgentUse, type Load, lackingAgents, SHUFFLES_STAY, scaledAgents } from "../cluster/scaling.ts";
import { SHUFFLE_DIR, WORK_DIR } from "../cluster/services/spark/spark.ts";
import type { Cluster, Machine } from "../cluster/types.ts";
import { type OnMachines, SparkMasters, type SparkState, type SparkWorker } from "./master.ts";

/** What runs on a cluster whose executors Spark's own workers start, for `wantedAgents`. */

/** What only an agent itself knows. */
export interface AgentDisk {
  /** Seconds since its worker started or an executor there last wrote to its log, which executors do when they end. */
  idleSeconds: number;
  /** Whether applications that have not ended have shuffle files there, which others may still read. */
  shuffles: boolean;
}

/** Prints an agent's `AgentDisk`, in the container of its worker. */
export const DISK_SCRIPT = [
  'up=$(ps -o etimes= -p 1) last=$(find "$1" -mindepth 3 -maxdepth 3 -name "std*" -printf "%Ts\\n" 2>/dev/null | sort -n | tail -n 1)',
  // A worker deletes an application's files when the application ends. Files older than a day are left from a worker that ended first.
  'files=$(find "$2" -path "*/blockmgr-*" -name "shuffle_*" -mmin -1440 -print -quit 2>/dev/null)',
  "since=$((up)) now=$(date +%s)",
  "[[ -z $last ]] || ((now - last >= since)) || since=$((now - last))",
  'echo "idle $since shuffles $([[ -z $files ]] && echo no || echo yes)"',
].join("\n");

/** @returns `undefined` for what the script does not print. */
export function readDisk(output: string): AgentDisk | undefined {
  const [, seconds, shuffles] = /^idle (\d+) shuffles (yes|no)$/m.exec(output) ?? [];
  return seconds === undefined ? undefined : { idleSeconds: Number(seconds), shuffles: shuffles === "yes" };
}

/**
 * What an agent says of itself.
 *
 * @param service Whose container, or machine, has the folder of shuffle files.
 * @returns `undefined` where it does not answer.
 */
export async function agentDisk(on: OnMachines, agent: Machine, service: string): Promise<AgentDisk | undefined> {
  const command = ["bash", "-c", DISK_SCRIPT, "bash", WORK_DIR, SHUFFLE_DIR.path];
  const { code, output } = await on.run(agent, service, command);
  return code === 0 ? readDisk(output) : undefined;
}

/** What runs on a cluster. @throws UserError where no master leads. */
export async function sparkLoad(cluster: Cluster, on: OnMachines): Promise<Load> {
  const cores = executorCores(cluster.config, architectureOf(cluster.config));
  const state = await new SparkMasters(cluster, on).state(cores ?? 1);
  const free = new Set(state.workers.filter(({ coresUsed }) => coresUsed === 0).map(({ host }) => host));
  const asked = scaledAgents(cluster).filter(({ address }) => free.has(address));
  const disks = await Promise.all(
    asked.map(async (agent): Promise<[string, AgentDisk] | undefined> => {
      const disk = await agentDisk(on, agent, "spark-worker");
      return disk && [agent.name, disk];
    }),
  );
  return loadOf(cluster, state, new Map(disks.filter((disk) => disk !== undefined)));
}

/**
 * @param disks By the agent's name, of those on which no executor runs; one that is missing did not answer.
 */
export function loadOf(cluster: Cluster, state: SparkState, disks: ReadonlyMap<string, AgentDisk>): Load {
  const works = state.apps.some(({ cores }) => cores > 0);
  const workers = new Map(state.workers.map((worker) => [worker.host, worker]));
  const agents = new Map<string, AgentUse>();
  for (const { name, address } of scaledAgents(cluster)) {
    const worker = workers.get(address);
    if (worker?.state !== "ALIVE" && worker?.state !== "DECOMMISSIONED") continue;
    agents.set(name, useOf(worker, disks.get(name), works));
  }
  const leaving = scaledAgents(cluster).filter(({ address }) => workers.get(address)?.state === "DECOMMISSIONED");
  return { agents, lacking: lacking(cluster, state), leaving: leaving.map(({ name }) => name) };
}

function useOf({ state, coresUsed }: SparkWorker, disk: AgentDisk | undefined, works: boolean): AgentUse {
  if (coresUsed > 0) return { stays: `executors with ${coresUsed} core${coresUsed === 1 ? "" : "s"} run on it` };
  if (disk === undefined) return { stays: "it does not say since when nothing runs on it" };
  if (disk.shuffles && works) return { stays: SHUFFLES_STAY };
  return { idleMinutes: state === "DECOMMISSIONED" ? Number.POSITIVE_INFINITY : disk.idleSeconds / 60 };
}

/** Agents that would take the executors for which there is no room. */
function lacking(cluster: Cluster, { workers, apps }: SparkState): number {
  const { config } = cluster;
  const alive = workers.filter(({ state }) => state === "ALIVE");
  const scaled = new Set(scaledAgents(cluster).map(({ address }) => address));
  const [like = alive[0]] = alive.filter(({ host }) => scaled.has(host));
  const cores = executorCores(config, architectureOf(config)) ?? like?.cores ?? 1;
  const free = alive.map((w) => ({ cores: w.cores - w.coresUsed, memoryMiB: w.memory - w.memoryUsed }));
  const jobs = apps.map(({ executors: { granted, wanted }, executorMiB }) => ({
    executors: wanted - granted,
    each: { cores, memoryMiB: executorMiB },
    free,
  }));
  return lackingAgents(config, jobs, like && { cores: like.cores, memoryMiB: like.memory });
}
