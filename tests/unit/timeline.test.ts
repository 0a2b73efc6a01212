import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { readTimeline, type Timeline, timelineSvg, timelineText } from "../../render/timeline.ts";
import { CLOUD } from "../fixtures/configs.ts";
import { machinesThatAnswer, type StackFolder, stackFolder, TRIPLEWIDE } from "../fixtures/stack-folder.ts";

const STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5";
const STARTED = "39f53479d3a045ac8e11786248231fbf";
/** The start of systemd by both of the machine's clocks, in microseconds. */
const [MONOTONIC, REAL] = [5_000_000, 1_795_743_124_000_000];

const entry = (seconds: number, fields: Record<string, string>): string =>
  JSON.stringify({
    __MONOTONIC_TIMESTAMP: String(MONOTONIC + seconds * 1e6),
    __REALTIME_TIMESTAMP: String(REAL + seconds * 1e6),
    ...fields,
  });
const unit = (seconds: number, name: string, id: string): string =>
  entry(seconds, { UNIT: name, MESSAGE_ID: id, MESSAGE: "…" });
const said = (seconds: number, text: string): string => entry(seconds, { MESSAGE: `triplewide   3s ${text}` });

const RECORDS = [
  `UserspaceTimestampMonotonic=${MONOTONIC}`,
  `/run/triplewide-ready ${REAL / 1e6 + 50}.000000`,
  `/run/triplewide-ready--cluster ${REAL / 1e6 + 61.5}00000`,
  unit(1, "cloud-final.service", STARTING),
  said(2, "installing docker.io apparmor"),
  said(20, "started triplewide-spark-worker.service triplewide-retry.timer"),
  unit(20.5, "triplewide-spark-worker.service", STARTING),
  said(21, "installing haproxy"),
  unit(45, "triplewide-spark-worker.service", STARTED),
  unit(46, "cloud-final.service", STARTED),
  // A restart hours later is not part of the boot.
  unit(9000, "triplewide-spark-worker.service", STARTING),
  unit(9001, "triplewide-spark-worker.service", STARTED),
  '{"MESSAGE":"cut of',
].join("\n");

test("what a machine did is read from its journal, with the first start of each unit", () => {
  expect(readTimeline("agent-1", RECORDS)).toEqual({
    machine: "agent-1",
    startedAt: REAL / 1e6,
    readyAfter: 61.5,
    spans: [
      { what: "cloud-final", kind: "boot", from: 1, to: 46 },
      { what: "installing docker.io apparmor", kind: "packages", from: 2, to: 20 },
      { what: "spark-worker", kind: "start", from: 20.5, to: 45 },
      { what: "installing haproxy", kind: "packages", from: 21, to: undefined },
    ],
  });
  expect(readTimeline("agent-1", "No journal files were found.")).toBeUndefined();
});

test("as text each piece of work is a line with its seconds", () => {
  const text = timelineText([readTimeline("agent-1", RECORDS) as Timeline]);
  expect(text).toMatch(/^agent-1: ready 6[12] s after its boot\n/);
  expect(text).toMatch(/^ {6}2\.0 s {4}18\.0 s {3}#{12} +installing docker\.io apparmor$/m);
  expect(text).toMatch(/^ {5}21\.0 s {3}goes on {3} +\?+ +installing haproxy$/m);
});

test("the picture has one axis for all machines, and no name ends its text", () => {
  const one = readTimeline("agent-1", RECORDS) as Timeline;
  const later = { ...one, machine: "<client>", startedAt: one.startedAt + 61.5 };
  const svg = timelineSvg([one, later]);
  const bars = [...svg.matchAll(/<rect x="([\d.]+)" y="\d+" width="([\d.]+)" height="12" fill="#2f6fdb"><title>/g)];
  expect(bars.map(([, x, width]) => [Number(x), Number(width)])).toEqual([
    [230 + (20.5 / 123) * 700, (24.5 / 123) * 700].map((n) => Number(n.toFixed(1))),
    [230 + (82 / 123) * 700, (24.5 / 123) * 700].map((n) => Number(n.toFixed(1))),
  ]);
  expect(svg).toContain("&lt;client&gt;: ready");
});

describe("triplewide timeline", () => {
  const CONFIG = { ...CLOUD, clusterName: "lab", architecture: "standalone" };
  const client = describeCluster(validate(CONFIG, "prod")).machines.find(({ name }) => name === "client");
  let stack: StackFolder;
  beforeEach(() => {
    const answers = { [String(client?.address)]: `cat >/dev/null; cat "$STUBS/records"` };
    stack = stackFolder(CONFIG, machinesThatAnswer(answers));
    writeFileSync(join(stack.folder, "records"), RECORDS);
  });
  afterEach(() => rmSync(stack.folder, { recursive: true, force: true }));
  const timeline = (...args: string[]) =>
    spawnSync(TRIPLEWIDE, ["timeline", ...args], { ...stack.options, encoding: "utf8" });

  test("prints the machines that answer, names the others, and draws", { timeout: 60_000 }, () => {
    const file = join(stack.folder, "boot.svg");
    expect(timeline("prod", "client", "--picture", file)).toMatchObject({
      status: 0,
      stderr: "",
      stdout: expect.stringMatching(/^client: ready 6[12] s after its boot\n/),
    });
    expect(readFileSync(file, "utf8")).toMatch(/^<svg .*<\/svg>\n$/s);
    const both = timeline("prod", "client", "agent-1");
    expect(both).toMatchObject({ status: 1, stderr: "agent-1: Connection refused\n" });
    expect(both.stdout).toContain("client: ready");
  });

  test("refuses a machine that is not there, and a cluster of containers", { timeout: 60_000 }, () => {
    expect(timeline("prod", "agent-99").stderr).toContain("lab has no machine agent-99");
    writeFileSync(
      join(stack.folder, "Pulumi.local.yaml"),
      "config:\n  triplewide:platform: docker\n  triplewide:architecture: standalone\n",
    );
    expect(timeline("local").stderr).toContain("timeline is for a cluster on OpenStack");
  });
});
