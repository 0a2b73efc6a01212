import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { pinnedVersions } from "../lib/checkout.ts";
import { ROOT } from "../lib/root.ts";

/**
 * Measures what can be measured without a cloud: the plan, the images, `make up`. Prints a Markdown table.
 *
 * Absolute seconds say little on a shared machine: the column to compare is the ratio to the first row of each group,
 * taken in the same run.
 *
 *   node bench/local.ts [--runs N] [plan] [images] [up]
 */

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: "string", default: "5" } },
});
const runs = Number(values.runs);
const wanted = positionals.length > 0 ? positionals : ["plan", "images", "up"];

interface Sample {
  wall: number;
  cpu: number;
}

/** Wall and CPU seconds of a process and its children. */
function measure(program: string, args: string[]): Sample {
  const start = performance.now();
  const { status, stderr } = spawnSync(program, args, {
    cwd: ROOT,
    stdio: ["ignore", "ignore", "pipe"],
    maxBuffer: 1e8,
  });
  if (status !== 0)
    throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr.toString().slice(-2000)}`);
  return { wall: (performance.now() - start) / 1000, cpu: childCpu() };
}

let childCpuBefore = 0;
/** CPU seconds of the children that have ended since the last call, as the system counted them. */
function childCpu(): number {
  const stat =
    spawnSync("cat", [`/proc/${process.pid}/stat`])
      .stdout.toString()
      .split(") ")[1]
      ?.split(" ") ?? [];
  const ticks = Number(stat[13]) + Number(stat[14]);
  const spent = ticks / 100 - childCpuBefore;
  childCpuBefore = ticks / 100;
  return spent;
}

const median = (numbers: number[]): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

function table(title: string, rows: { what: string; run: () => Sample }[]): void {
  const samples = rows.map(() => [] as Sample[]);
  // In turns, so that a slow minute of the machine hits all rows alike.
  for (let i = 0; i < runs; i++) for (const [r, row] of rows.entries()) samples[r]?.push(row.run());
  process.stdout.write(`\n| ${title} | CPU s | wall s | CPU, ratio to the first |\n| --- | --- | --- | --- |\n`);
  rows.forEach((row, r) => {
    const all = samples[r] ?? [];
    const ratios = all.map((s, i) => s.cpu / (samples[0]?.[i]?.cpu ?? 1));
    const cpu = median(all.map((s) => s.cpu)).toFixed(2);
    const wall = median(all.map((s) => s.wall)).toFixed(2);
    process.stdout.write(`| ${row.what} | ${cpu} | ${wall} | ${median(ratios).toFixed(2)} |\n`);
  });
}

childCpu();
const node = process.execPath;
if (wanted.includes("plan")) {
  table(
    "`plan local --set architecture=vanilla --json`",
    [1, 10, 100, 1000].map((agents) => ({
      what: `${agents} agents`,
      run: () =>
        measure(node, [
          "cli/main.ts",
          "plan",
          "local",
          "--set",
          "architecture=vanilla",
          "--set",
          `agentCount=${agents}`,
          "--json",
        ]),
    })),
  );
}
if (wanted.includes("images")) {
  table("`images/build.sh spark-python client`", [
    { what: "nothing changed", run: () => measure(join(ROOT, "images/build.sh"), ["spark-python", "client"]) },
  ]);
  const version = pinnedVersions(ROOT).TRIPLEWIDE_VERSION;
  process.stdout.write("\n| image | MB |\n| --- | --- |\n");
  for (const name of ["base", "spark-python", "client", "zookeeper", "hdfs"]) {
    const { stdout } = spawnSync("docker", [
      "image",
      "inspect",
      "--format",
      "{{.Size}}",
      `triplewide/${name}:${version}`,
    ]);
    const size = Number(stdout.toString().trim());
    process.stdout.write(`| ${name} | ${size > 0 ? Math.round(size / 1e6) : "not built"} |\n`);
  }
}
if (wanted.includes("up")) {
  const cluster = ["--set", "clusterName=tw-bench", "--set", "networkCidr=10.95.0.0/16", "--no-smoke"];
  const ports = ["jupyterPort=28888", "sparkMasterPort=27077", "sparkMasterUiPort=28080", "sparkUiPort=24040"];
  const settings = [...cluster, ...ports.flatMap((text) => ["--set", text])];
  const up = () => measure(node, ["cli/main.ts", "up", ...settings]);
  const down = () => measure(node, ["cli/main.ts", "down", "--volumes", ...settings]);
  table("`make up` without the smoke job, images built", [
    {
      what: "nothing runs yet",
      run: () => {
        down();
        return up();
      },
    },
    { what: "everything runs already", run: up },
  ]);
  down();
}
