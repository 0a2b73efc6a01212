import { setTimeout as sleep } from "node:timers/promises";
import type { Gate } from "../cluster/types.ts";
import { UserError } from "../lib/errors.ts";
import { captured } from "../lib/exec.ts";
import { probeCommand } from "../render/probe.ts";
import { type Docker, dockerLines } from "./docker.ts";

/** State of one container. */
export interface ContainerState {
  id: string;
  name: string;
  /** "healthy", "starting", "unhealthy", or the container's own status where it has no health check. */
  health: string;
  startedAt: string;
}

/** Not a template of single fields: a container without a health check has no such field, and the template would fail. */
const FORMAT = "{{json .Id}}\t{{json .Name}}\t{{json .RestartCount}}\t{{json .State}}";

/** Docker takes a start for a success after this long: it forgets the failed ones before. */
const LASTING_MS = 10_000;

interface InspectedState {
  Status: string;
  StartedAt: string;
  Health?: { Status: string };
}

/**
 * State of containers.
 *
 * @param ids Containers that exist.
 * @returns A state for each, in the order of `ids`. A container that Docker starts again and again is `restarting`.
 */
export async function containerStates(d: Docker, ids: readonly string[]): Promise<ContainerState[]> {
  if (ids.length === 0) return [];
  const lines = await dockerLines(d, ["inspect", "--format", FORMAT, ...ids]);
  return lines.map((line) => {
    const [id, name, restarts, state] = line.split("\t").map((part) => JSON.parse(part)) as [
      string,
      string,
      number,
      InspectedState,
    ];
    // A container that Docker starts again and again never turns unhealthy: it is not there long enough. Nor does it count as
    // running in the moments in which it is.
    const own = state.Health?.Status ?? state.Status;
    const again = own !== "healthy" && restarts >= 3 && Date.now() - Date.parse(state.StartedAt) < LASTING_MS;
    return {
      id,
      name: name.replace(/^\//, ""),
      health: state.Status !== "running" ? state.Status : again ? "restarting" : own,
      startedAt: state.StartedAt,
    };
  });
}

/**
 * Containers whose network is gone: they share that of another container, which was started again after them or removed.
 * They keep running, but no connection reaches them.
 */
export async function cutOff(d: Docker, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const format = "{{.Id}}\t{{.State.StartedAt}}\t{{.HostConfig.NetworkMode}}";
  const rows = (await dockerLines(d, ["inspect", "--format", format, ...ids])).map((line) => line.split("\t"));
  const started = new Map(rows.map(([id = "", at = ""]) => [id, Date.parse(at)]));
  return rows.flatMap(([id = "", , mode = ""]) => {
    if (!mode.startsWith("container:")) return [];
    const since = started.get(mode.slice("container:".length));
    return since === undefined || since > (started.get(id) ?? 0) ? [id] : [];
  });
}

const isUp = (s: ContainerState): boolean => s.health === "healthy" || s.health === "running";

/**
 * Milliseconds after which a container in such a state is given up. On a busy machine the probe of a healthy container may
 * time out now and then, so `unhealthy` is given more time than containers that have ended.
 */
const PATIENCE_MS: Readonly<Record<string, number>> = {
  unhealthy: 60_000,
  exited: 20_000,
  dead: 20_000,
  restarting: 20_000,
};

/**
 * Waits until every container is healthy.
 *
 * @param say Called with one line whenever the picture changes.
 * @throws UserError with the last log lines of what did not become healthy.
 */
export async function waitHealthy(
  d: Docker,
  ids: readonly string[],
  timeoutSeconds: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const deadline = Date.now() + timeoutSeconds * 1000;
  const badSince = new Map<string, number>();
  let shown = "";
  for (;;) {
    signal.throwIfAborted();
    const states = await containerStates(d, ids);
    const pending = states.filter((s) => !isUp(s));
    const line = `${states.length - pending.length}/${states.length} healthy${
      pending.length > 0
        ? `, waiting for ${pending
            .map((s) => s.name)
            .slice(0, 5)
            .join(", ")}`
        : ""
    }`;
    if (line !== shown) say(line);
    shown = line;
    if (pending.length === 0) return;
    const now = Date.now();
    for (const s of states) {
      if (s.health in PATIENCE_MS) {
        if (!badSince.has(s.id)) badSince.set(s.id, now);
      } else badSince.delete(s.id);
    }
    const given = pending.filter((s) => now - (badSince.get(s.id) ?? now) > (PATIENCE_MS[s.health] ?? 0));
    if (given.length > 0 || now > deadline) throw await notHealthy(d, given.length > 0 ? given : pending);
    await sleep(500, undefined, { signal });
  }
}

async function notHealthy(d: Docker, states: ContainerState[]): Promise<UserError> {
  const parts = await Promise.all(
    states.slice(0, 3).map(async (s) => {
      const { output } = await captured(d.client, ["logs", "--tail", "20", s.id]);
      return `${s.name} is ${s.health}. Its last lines:\n${output.trimEnd().replace(/^/gm, "  | ")}`;
    }),
  );
  return new UserError(`the cluster did not become healthy.\n${parts.join("\n")}`);
}

/** Waits for what must hold beyond single containers: all workers registered, HDFS out of safe mode. */
export async function waitGate(
  d: Docker,
  container: string,
  gate: Gate,
  timeoutSeconds: number,
  signal: AbortSignal,
): Promise<void> {
  const deadline = Date.now() + timeoutSeconds * 1000;
  for (;;) {
    const { code } = await captured(d.client, ["exec", container, ...probeCommand(gate.probe)], signal);
    if (code === 0) return;
    signal.throwIfAborted();
    if (Date.now() > deadline)
      throw new UserError(`not there after ${timeoutSeconds} s: ${gate.what}. Look at: make logs`);
    await sleep(500, undefined, { signal });
  }
}
