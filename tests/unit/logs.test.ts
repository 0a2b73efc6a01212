import { spawnSync } from "node:child_process";
import { cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { journalScript, logText, readDockerLogs, readJournal } from "../../render/logs.ts";
import { CLOUD } from "../fixtures/configs.ts";
import { machinesThatAnswer, type StackFolder, stackFolder, TRIPLEWIDE } from "../fixtures/stack-folder.ts";

const AT = Date.UTC(2026, 10, 27, 8) * 1000;
const record = (seconds: number, fields: Record<string, unknown>): string =>
  JSON.stringify({ __REALTIME_TIMESTAMP: String(AT + seconds * 1e6), ...fields });

test("a journal's records are read with their service, whatever a message is", () => {
  const records = [
    record(3, { _SYSTEMD_UNIT: "triplewide-spark-worker.service", MESSAGE: "Lost executor 3" }),
    record(2, { _SYSTEMD_UNIT: "init.scope", UNIT: "triplewide-shuffle.service", MESSAGE: "Started" }),
    record(1, { _SYSTEMD_UNIT: "triplewide-jupyter.service", MESSAGE: [104, 195, 182] }),
    record(0, { _SYSTEMD_UNIT: "triplewide-jupyter.service", MESSAGE: null }),
    '{"MESSAGE":"cut of',
  ].join("\n");
  expect(readJournal("agent-1", records)).toEqual([
    { at: AT + 3e6, from: "agent-1 spark-worker", text: "Lost executor 3" },
    { at: AT + 2e6, from: "agent-1 shuffle", text: "Started" },
    { at: AT + 1e6, from: "agent-1 jupyter", text: "hö" },
    { at: AT, from: "agent-1 jupyter", text: "(a very long line)" },
  ]);
});

test("a line is of the service that said it, whatever it says of itself, and begins no other line", () => {
  const forged = { UNIT: "triplewide-registry.service", SYSLOG_IDENTIFIER: "registry", MESSAGE: "forged" };
  const from = (fields: Record<string, unknown>) => readJournal("agent-1", record(0, fields)).map((line) => line.from);
  expect(from({ ...forged, _SYSTEMD_UNIT: "triplewide-mesos-agent.service" })).toEqual(["agent-1 mesos-agent"]);
  // A line from a machine whose root user sends forged records to the client.
  const unit = "triplewide-x\n2026-11-27T08:00:00.000Z client jupyter | forged \u001b[2J.service";
  expect(from({ ...forged, _SYSTEMD_UNIT: unit }).join("")).not.toMatch(/\p{Cc}/u);
});

test("Docker's lines are read to the microsecond; the last ones with the text stay", () => {
  const printed = [
    "2026-11-27T08:00:00.000001999Z An ERROR, the first",
    "2026-11-27T08:00:01Z fine",
    "2026-11-27T08:00:02.5Z error 2",
    "2026-11-27T08:00:03.25Z Error 3",
    "Error response from daemon: no such container",
    "",
  ].join("\n");
  expect(readDockerLogs("c", printed, { lines: 9, text: "eRRor" }).map(({ at }) => at - AT)).toEqual([
    1, 2.5e6, 3.25e6,
  ]);
  expect(readDockerLogs("c", printed, { lines: 2 }).map(({ text }) => text)).toEqual(["error 2", "Error 3"]);
});

test("lines of all machines are in the order of time, and steer no terminal", () => {
  const lines = [
    { at: AT + 1000, from: "agent-10 shuffle", text: "\u001b[31mred\u001b[0m\tand \u001b]0;title\u0007 a\r\nb" },
    { at: AT, from: "client jupyter", text: "first" },
  ];
  expect(logText(lines)).toBe(
    "2026-11-27T08:00:00.000Z client jupyter   | first\n" +
      "2026-11-27T08:00:00.001Z agent-10 shuffle | red\tand  ]0;title  a  b\n",
  );
});

test("the machine's shell and journalctl take the text as a text", () => {
  const text = `it's $(touch /tmp/x) .* \\Q\\E|`;
  const run = spawnSync(
    "bash",
    ["-c", `journalctl() { printf '%s\\n' "$@"; }; ${journalScript({ lines: 99, since: 7, text })}`],
    { encoding: "utf8" },
  );
  expect(run.stdout.split("\n")).toEqual(expect.arrayContaining(["triplewide-*", "--since", "@7"]));
  const pattern = run.stdout.trimEnd().split("\n").at(-1) ?? "";
  const found = spawnSync("grep", ["-P", "-o", "--", pattern], { input: `a ${text} b\n`, encoding: "utf8" });
  expect(found.stdout).toBe(`${text}\n`);
});

describe("triplewide logs of machines", () => {
  const CONFIG = { ...CLOUD, clusterName: "lab", architecture: "standalone" };
  const { machines } = describeCluster(validate(CONFIG, "prod"));
  const addressOf = (wanted: string) => String(machines.find(({ name }) => name === wanted)?.address);
  let stack: StackFolder;
  beforeEach(() => {
    // The client and a master answer with the request that they got.
    const answers = {
      [addressOf("client")]: `cat > "$STUBS/asked"; cat "$STUBS/client"`,
      [addressOf("master-1")]: `cat >/dev/null; cat "$STUBS/master"`,
    };
    stack = stackFolder(CONFIG, machinesThatAnswer(answers));
    const says = (machine: string, line: string) => writeFileSync(join(stack.folder, machine), line);
    says("client", record(2, { _SYSTEMD_UNIT: "triplewide-jupyter.service", MESSAGE: "two" }));
    says("master", record(1, { _SYSTEMD_UNIT: "triplewide-spark-master.service", MESSAGE: "one" }));
  });
  afterEach(() => rmSync(stack.folder, { recursive: true, force: true }));
  const logs = (...args: string[]) => spawnSync(TRIPLEWIDE, ["logs", ...args], { ...stack.options, encoding: "utf8" });

  test("are in one order, and a machine that does not answer is named", { timeout: 60_000 }, () => {
    const { status, stdout, stderr } = logs("--env", "prod", "--since", "2026-11-27T08:00:00Z", "--grep", "o");
    expect(stdout.split("\n").map((line) => line.replace(/ +\|/, " |"))).toEqual([
      "2026-11-27T08:00:01.000Z master-1 spark-master | one",
      "2026-11-27T08:00:02.000Z client jupyter | two",
      "",
    ]);
    expect(status).toBe(1);
    expect(stderr).toContain("agent-1: Connection refused\n");
    expect(stderr).not.toContain("client");
  });

  test("are what the client has kept, of a machine that is gone too, where it is asked for", {
    timeout: 60_000,
  }, () => {
    const kept = stackFolder(
      { ...CONFIG, monitoring: true },
      machinesThatAnswer({
        [addressOf("client")]: `asked=$(cat); case $asked in
          cd*) printf 'agent-9\\nclient\\n' ;;
          *'/agent-9[.@]*'*'--grep'*) cat "$STUBS/master" ;;
          *'/client[.@]*'*) cat "$STUBS/client" ;;
        esac`,
      }),
    );
    for (const name of ["client", "master"]) cpSync(join(stack.folder, name), join(kept.folder, name));
    const run = spawnSync(TRIPLEWIDE, ["logs", "--env", "prod", "--stored", "--grep", "o"], {
      ...kept.options,
      encoding: "utf8",
    });
    rmSync(kept.folder, { recursive: true });
    expect(run.stdout.split("\n").map((line) => line.replace(/ +\|/, " |"))).toEqual([
      "2026-11-27T08:00:01.000Z agent-9 spark-master | one",
      "2026-11-27T08:00:02.000Z client jupyter | two",
      "",
    ]);
    expect(run).toMatchObject({ status: 0, stderr: "" });
  });

  test("are kept nowhere else without monitoring, nor on this machine's Docker, and that is said", {
    timeout: 60_000,
  }, () => {
    expect(logs("--env", "prod", "--stored")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("the cluster keeps no logs of its machines: set monitoring to true"),
    });
    const local = spawnSync(TRIPLEWIDE, ["logs", "--stored"], { encoding: "utf8" });
    expect(local).toMatchObject({ status: 1, stderr: expect.stringContaining("--stored is for machines") });
  });

  test("bad times and numbers are refused", { timeout: 60_000 }, () => {
    expect(logs("--since", "yesterday")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("Give 30s, 10m, 2h"),
    });
    expect(logs("--lines", "5000")).toMatchObject({ status: 2, stderr: expect.stringContaining("from 1 to 1000") });
  });
});
