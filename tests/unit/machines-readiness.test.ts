import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { NotReadyError, READY_COMMAND, type WaitReadyOptions, waitReady } from "../../machines/readiness.ts";
import type { SshResult } from "../../machines/ssh.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Answer = { code: number; stdout?: string; stderr?: string; denied?: true };
/** The successive answers of each machine. The last one is repeated. */
type Script = Record<string, Answer[]>;

function watch(script: Script, over: Partial<WaitReadyOptions> = {}) {
  const calls: [string, string][] = [];
  const lines: string[] = [];
  const ssh = {
    run: async (target: { name: string }, command: string): Promise<SshResult> => {
      calls.push([target.name, command]);
      const answers = script[target.name] as Answer[];
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      return { stdout: "", stderr: "", ...(answer as Answer) };
    },
  };
  const machines = Object.keys(script).map((name) => ({ name, address: "10.0.0.1" }));
  const outcome = waitReady({
    machines,
    ssh,
    timeoutSeconds: 900,
    clusterGate: false,
    report: (line) => lines.push(line),
    ...over,
  }).then(
    () => "ready" as const,
    (error: unknown) => error,
  );
  return { outcome, calls, lines };
}

const booting: Answer = { code: 255, stderr: "debug\nssh: connect to host 10.0.0.1 port 22: Connection refused\n" };
const pending: Answer = { code: 1, stdout: "docker: starting\nzookeeper: waiting\n" };
const failed: Answer = { code: 2, stdout: "mesos-agent.service failed\nNov 1: cgroup v2 only\nNov 1: exiting\n" };
const ready: Answer = { code: 0 };

test("resolves when every machine is ready, and tells each step once", async () => {
  const { outcome, calls, lines } = watch({ a: [booting, pending, pending, ready], b: [ready] });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await outcome).toBe("ready");
  expect(calls.filter(([name]) => name === "b")).toEqual([["b", READY_COMMAND]]);
  expect(lines).toEqual([
    "0 of 2 ready; a: not reached by SSH (ssh: connect to host 10.0.0.1 port 22: Connection refused) (and 1 more)",
    "1 of 2 ready; a: not reached by SSH (ssh: connect to host 10.0.0.1 port 22: Connection refused)",
    "1 of 2 ready; a: docker: starting",
    "2 of 2 ready",
  ]);
  const count = calls.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(calls).toHaveLength(count);
});

test("what services log steers no terminal that it is shown on", async () => {
  const hostile = { code: 1, stdout: "jupyter: \u001b[2J\u001b]0;x\u0007\rready\n", stderr: "\u009b31m" };
  const { outcome, lines } = watch({ a: [hostile] }, { timeoutSeconds: 5 });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(lines).toHaveLength(1);
  expect(`${lines[0]} ${await outcome}`.replaceAll("\n", " ")).not.toMatch(/\p{Cc}/u);
});

test("asks for the cluster's view when told to, and of one machine only when that is enough", async () => {
  const { outcome, calls } = watch({ a: [pending], b: [pending, ready] }, { clusterGate: true, enough: "one" });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await outcome).toBe("ready");
  expect(new Set(calls.map(([, command]) => command))).toEqual(new Set([`${READY_COMMAND} --cluster`]));
});

test("asks less and less often, but often enough", async () => {
  const { calls } = watch({ a: [pending] }, { timeoutSeconds: 300 });
  await vi.advanceTimersByTimeAsync(20_000);
  expect(calls.length).toBeGreaterThanOrEqual(4);
  const before = calls.length;
  await vi.advanceTimersByTimeAsync(100_000);
  expect(calls.length - before).toBeGreaterThanOrEqual(7);
  expect(calls.length - before).toBeLessThanOrEqual(14);
  await vi.advanceTimersByTimeAsync(200_000);
});

describe("gives up", () => {
  test("after 20 s where a login stays denied, and not where the user comes to be while the machine boots", async () => {
    const denied: Answer = {
      code: 255,
      stderr: "a: SSH does not let debian in (Permission denied (publickey).)",
      denied: true,
    };
    const { outcome } = watch({ a: [booting, denied], b: [booting] });
    await vi.advanceTimersByTimeAsync(45_000);
    expect(String(await outcome)).toContain(
      "2 machines are not ready (a cannot be logged in to):\n  a: a: SSH does not let debian in (Permission denied (publickey).)\n  b: not reached",
    );
    const later = watch({ a: [denied, denied, denied, ready] });
    await vi.advanceTimersByTimeAsync(45_000);
    expect(await later.outcome).toBe("ready");
  });

  test("after its time, naming each machine with its reason and its last lines", async () => {
    const { outcome } = watch({ a: [pending], b: [ready], c: [pending, booting] }, { timeoutSeconds: 120 });
    await vi.advanceTimersByTimeAsync(119_000);
    let over = false;
    void outcome.then(() => (over = true));
    await vi.advanceTimersByTimeAsync(0);
    expect(over).toBe(false);
    await vi.advanceTimersByTimeAsync(1000);
    const error = await outcome;
    expect(error).toBeInstanceOf(NotReadyError);
    expect((error as NotReadyError).message).toBe(
      [
        "2 machines are not ready (after 120 s):",
        "  a: docker: starting",
        "    zookeeper: waiting",
        "  c: not reached by SSH (ssh: connect to host 10.0.0.1 port 22: Connection refused)",
        "    docker: starting",
        "    zookeeper: waiting",
      ].join("\n"),
    );
  });

  test("on a unit that stays failed, after 60 s and long before the time is over", async () => {
    const { outcome } = watch({ a: [failed], b: [pending] });
    await vi.advanceTimersByTimeAsync(55_000);
    let over = false;
    void outcome.then(() => (over = true));
    await vi.advanceTimersByTimeAsync(0);
    expect(over).toBe(false);
    await vi.advanceTimersByTimeAsync(20_000);
    const { message, machines } = (await outcome) as NotReadyError;
    expect(machines.map((m) => m.name)).toEqual(["a", "b"]);
    expect(message).toContain(
      "2 machines are not ready (a failed):\n  a: mesos-agent.service failed\n    Nov 1: cgroup",
    );
  });

  test("not on a unit that was started again", async () => {
    const flapping = Array.from({ length: 40 }, (_, n) => (n % 3 === 2 ? pending : failed));
    const { outcome } = watch({ a: [...flapping, ready] });
    await vi.advanceTimersByTimeAsync(600_000);
    expect(await outcome).toBe("ready");
  });

  test("at once on a server in ERROR, with what the cloud says", async () => {
    let asked = 0;
    const status = async () => {
      if (++asked === 1) throw new Error("the API is busy");
      return new Map([
        ["a", { status: "ACTIVE" }],
        ["b", { status: "ERROR", fault: "No valid host was found." }],
      ]);
    };
    const { outcome } = watch({ a: [pending], b: [booting] }, { status });
    await vi.advanceTimersByTimeAsync(16_000);
    const { message } = (await outcome) as NotReadyError;
    expect(message).toContain(
      "2 machines are not ready (b in ERROR):\n  b: its server is in ERROR: No valid host was found.",
    );
    expect(message).toContain("  a: docker: starting");
  });

  test("with few words for many machines", async () => {
    const script = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`agent-${n + 1}`, [pending]]));
    const { outcome } = watch(script, { timeoutSeconds: 60 });
    await vi.advanceTimersByTimeAsync(61_000);
    const lines = ((await outcome) as NotReadyError).message.split("\n");
    expect(lines).toHaveLength(1 + 5 * 2 + 1);
    expect(lines.at(-1)).toMatch(/^ {2}agent-6, .* and 287 more: docker: starting$/);
  });

  test("at once where nobody can be asked at all", async () => {
    const ssh = { run: () => Promise.reject(new Error("this machine has no ssh")) };
    const { outcome } = watch({ a: [ready] }, { ssh });
    expect(String(await outcome)).toContain("this machine has no ssh");
  });
});

test("a machine that is still being set up is not taken for a broken one", async () => {
  const absent = { code: 1, stderr: "sudo: /usr/local/sbin/triplewide-ready: command not found\n" };
  const closed = {
    code: 255,
    stderr:
      "Stdio forwarding request failed: Session open refused by peer\nkex_exchange_identification: Connection closed\n",
  };
  const { lines, outcome } = watch({ a: [closed, absent, { code: 9, stderr: "Killed" }, ready] });
  await vi.advanceTimersByTimeAsync(30_000);
  expect(await outcome).toBe("ready");
  expect(lines.slice(0, 3)).toEqual([
    "0 of 1 ready; a: not reached by SSH (its port does not answer)",
    "0 of 1 ready; a: booting: its own check is not there yet",
    "0 of 1 ready; a: its check ended with code 9: Killed",
  ]);
});

test("no machines are ready", async () => {
  expect(await watch({}).outcome).toBe("ready");
});
