import { UserError } from "../lib/errors.ts";
import { printableLines, someNames } from "../lib/text.ts";
import { type Ssh, type SshResult, type SshTarget, UNREACHABLE } from "./ssh.ts";

/**
 * Waits until machines are ready. Each machine has a check of its own, which knows its units and its cluster. The check
 * is run again and again by SSH, and its output is passed on.
 */

/** The machine's own check: exits with 0 when ready, 1 when not yet, 2 when a unit has failed. */
export const READY_COMMAND = "sudo -n /usr/local/sbin/triplewide-ready";

/** A machine that did not become ready. */
export interface NotReady {
  name: string;
  why: string;
  /** Last output of the machine's own check: pending things, or the failed unit and its last log lines. */
  lines: string[];
}

/** Thrown when machines did not become ready; the message names each, why, and its last log lines. */
export class NotReadyError extends UserError {
  override name = "NotReadyError";
  readonly machines: readonly NotReady[];
  constructor(reason: string, machines: readonly NotReady[]) {
    super(formatNotReady(reason, machines));
    this.machines = machines;
  }
}

export interface WaitReadyOptions {
  machines: readonly SshTarget[];
  ssh: Pick<Ssh, "run">;
  /** Seconds after which the wait ends with an error. */
  timeoutSeconds: number;
  /** Whether a machine must also see its cluster: a leader, all agents registered, HDFS out of safe mode. */
  clusterGate: boolean;
  /**
   * `one`: it is enough that one machine is ready, for conditions of the whole group that any member can see.
   * @default all
   */
  enough?: "all" | "one";
  /** Called with one short line when something changed. */
  report?: (line: string) => void;
  /**
   * The cloud's view by machine name; `existingMachines` returns it. A machine in ERROR fails at once. Asked every 15
   * seconds. A request that fails is ignored, because a cloud's API may be busy while machines boot.
   */
  status?: () => Promise<ReadonlyMap<string, { status: string; fault?: string }>>;
}

const FIRST_PAUSE_MS = 2000;
const LONGEST_PAUSE_MS = 10_000;
const STATUS_EVERY_MS = 15_000;
/** systemd may start a failed unit again: only a unit that stays failed this long counts. */
const FAILED_MS = 60_000;
/** An image may start its SSH server before cloud-init has made the user: only a login that stays denied this long counts. */
const DENIED_MS = 20_000;

/** Lines of each machine and machines with lines that an error shows. */
const SHOWN_LINES = 20;
const SHOWN_MACHINES = 5;

interface State extends NotReady {
  ready: boolean;
  /** When its check first said that a unit has failed, and has not taken it back since. */
  failedSince?: number;
  /** When it first denied the login, and has not accepted it since. */
  deniedSince?: number;
}

/**
 * Waits until machines say that they are ready.
 *
 * @throws NotReadyError after the timeout; at once for a server in ERROR, and for one with another host key than it was given; after
 *   20 s for a login that stays denied, after 60 s for a unit that stays failed.
 */
export async function waitReady(options: WaitReadyOptions): Promise<void> {
  const states = options.machines.map((m): State => ({ name: m.name, why: "not asked yet", lines: [], ready: false }));
  if (states.length === 0) return;
  const over = new AbortController();
  const enough = (): boolean => (options.enough === "one" ? states.some((s) => s.ready) : states.every((s) => s.ready));

  let last = "";
  const report = (): void => {
    const line = progress(states);
    if (line !== last && !over.signal.aborted) options.report?.(line);
    last = line;
  };
  const fail = (reason: string, culprits: readonly State[]): void => {
    const rest = states.filter((s) => !s.ready && !culprits.includes(s));
    over.abort(new NotReadyError(reason, [...culprits, ...rest]));
  };

  const watchMachine = async (target: SshTarget, state: State): Promise<void> => {
    const command = options.clusterGate ? `${READY_COMMAND} --cluster` : READY_COMMAND;
    for (let wait = FIRST_PAUSE_MS; !over.signal.aborted; wait = Math.min(LONGEST_PAUSE_MS, wait * 1.3)) {
      const result = await options.ssh.run(target, command);
      if (over.signal.aborted) return;
      judge(state, result);
      report();
      // sshd starts after it has its keys: another key stays another key.
      if (result.refused) return fail(`${state.name} is not trusted`, [state]);
      if (state.ready) {
        if (enough()) over.abort();
        return;
      }
      if (state.deniedSince !== undefined && Date.now() - state.deniedSince >= DENIED_MS) {
        return fail(`${state.name} cannot be logged in to`, [state]);
      }
      if (state.failedSince !== undefined && Date.now() - state.failedSince >= FAILED_MS) {
        return fail(`${state.name} failed`, [state]);
      }
      // Random, so that machines which started together are not all asked at the same moment.
      await pause(wait * (0.75 + Math.random() / 2), over.signal);
    }
  };
  const watchCloud = async (status: NonNullable<WaitReadyOptions["status"]>): Promise<void> => {
    while (!over.signal.aborted) {
      const servers = await status().catch(() => new Map<string, never>());
      const broken = states.filter((s) => !s.ready && servers.get(s.name)?.status === "ERROR");
      for (const state of broken) {
        state.why = `its server is in ERROR: ${servers.get(state.name)?.fault ?? "the cloud does not say why"}`;
      }
      if (broken.length > 0 && !over.signal.aborted) return fail(`${namesOf(broken)} in ERROR`, broken);
      await pause(STATUS_EVERY_MS, over.signal);
    }
  };

  const timer = setTimeout(() => fail(`after ${options.timeoutSeconds} s`, []), options.timeoutSeconds * 1000);
  const ended = new Promise<void>((done) => over.signal.addEventListener("abort", () => done(), { once: true }));
  const watchers = options.machines.map((target, i) => watchMachine(target, states[i] as State));
  if (options.status) watchers.push(watchCloud(options.status));
  try {
    // A watcher only rejects where no machine can be asked at all, such as without an ssh client.
    await Promise.race([ended, Promise.all(watchers)]);
  } finally {
    clearTimeout(timer);
    over.abort();
  }
  if (over.signal.reason instanceof NotReadyError) throw over.signal.reason;
}

function judge(state: State, { code, refused, denied, ...said }: SshResult): void {
  // What services log is in it, and so what people's programs say.
  const [stdout, stderr] = [printableLines(said.stdout), printableLines(said.stderr)];
  const lines = stdout.trim().split("\n").filter(Boolean).slice(-SHOWN_LINES);
  const complaint = stderr.trim().split("\n").at(-1) ?? "";
  // sudo itself ends with 1 when there is no such command, which is what "not yet" is, too.
  const absent = code !== 0 && stdout === "" && /command not found|password is required/.test(complaint);
  if (code === 0 || (code === 1 && !absent)) delete state.failedSince;
  if (denied) state.deniedSince ??= Date.now();
  else delete state.deniedSince;
  if (refused || denied) {
    state.why = complaint;
    state.lines = [];
  } else if (code === 0) {
    state.ready = true;
  } else if (absent) {
    state.why = "booting: its own check is not there yet";
    state.lines = [];
  } else if (code === 1) {
    state.why = lines[0] ?? "not ready yet";
    state.lines = lines;
  } else if (code === 2) {
    state.failedSince ??= Date.now();
    state.why = lines[0] ?? "a unit has failed";
    state.lines = lines;
  } else if (code === UNREACHABLE) {
    // The lines of the last answer stay, because they may explain why the machine does not answer any more. The error of
    // the connection through the bastion does not name the cause, so it is put into words here.
    const closed = stderr.includes("Stdio forwarding request failed");
    state.why = `not reached by SSH (${closed ? "its port does not answer" : complaint || "no answer"})`;
  } else {
    state.why = `its check ended with code ${code}${complaint && `: ${complaint}`}`;
    state.lines = lines;
  }
}

function progress(states: readonly State[]): string {
  const pending = states.filter((s) => !s.ready);
  const ready = `${states.length - pending.length} of ${states.length} ready`;
  const [first] = pending;
  if (!first) return ready;
  const why = first.why.length > 80 ? `${first.why.slice(0, 79)}…` : first.why;
  return `${ready}; ${first.name}: ${why}${pending.length > 1 ? ` (and ${pending.length - 1} more)` : ""}`;
}

function formatNotReady(reason: string, machines: readonly NotReady[]): string {
  const count = machines.length === 1 ? "1 machine is" : `${machines.length} machines are`;
  const out = [`${count} not ready (${reason}):`];
  for (const { name, why, lines } of machines.slice(0, SHOWN_MACHINES)) {
    out.push(`  ${name}: ${why}`);
    for (const line of lines) if (line !== why) out.push(`    ${line}`);
  }
  // Many machines mostly wait for one reason: each reason once, with the machines that have it.
  for (const [why, group] of Map.groupBy(machines.slice(SHOWN_MACHINES), (m) => m.why)) {
    out.push(`  ${namesOf(group)}: ${why}`);
  }
  return out.join("\n");
}

const namesOf = (machines: readonly { name: string }[]): string => someNames(machines.map(({ name }) => name));

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) return done();
    const timer = setTimeout(finish, ms);
    function finish(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      done();
    }
    signal.addEventListener("abort", finish);
  });
}
