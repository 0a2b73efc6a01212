import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../lib/root.ts";
import { findDocker } from "../local/docker.ts";
import { TestCluster } from "../tests/containers/harness.ts";

/**
 * What encryption costs: the smoke job, a shuffle of 1 GB and a round trip through Parquet in the shared folder, on a cluster with
 * it and on one without, in turns; and the same work in the same image with `local[2]` and a folder of its own.
 *
 *   node bench/encryption.ts [rounds]
 */

const rounds = Number(process.argv[2] ?? 2);
const program = readFileSync(join(ROOT, "bench/data.py"), "utf8");
const cluster = new TestCluster(await findDocker(), "tw-bench", 5, ["agentCount=2", "coresMax=2"]);
const times = new Map<string, Map<string, number[]>>();

function note(variant: string, seconds: Record<string, number>): void {
  for (const [what, value] of Object.entries(seconds)) {
    const row = times.get(what) ?? new Map<string, number[]>();
    row.set(variant, [...(row.get(variant) ?? []), value]);
    times.set(what, row);
  }
}

async function data(variant: string, args: string[]): Promise<void> {
  const { output } = await cluster.exec("client", ["python3", "-c", program, ...args]);
  const line = /^(?:.*\r)?.*seconds: (\{.*\})$/m.exec(output)?.[1];
  if (line === undefined) throw new Error(output.slice(-3000));
  note(variant, JSON.parse(line));
}

const median = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

try {
  for (let round = 0; round < rounds; round++) {
    for (const encryption of [true, false]) {
      const variant = encryption ? "encrypted" : "in plain";
      const { code, output } = await cluster.cli("up", ["--no-smoke"], [`encryption=${encryption}`]);
      if (code !== 0) throw new Error(output);
      const smoke = await cluster.cli("smoke", ["--json"], [`encryption=${encryption}`]);
      const { seconds } = JSON.parse(smoke.output.slice(smoke.output.indexOf("{")));
      note(variant, { "smoke job": seconds });
      await data(variant, ["file:/home/spark/work/bench"]);
    }
    await data("local[2]", ["--master", "local[2]", "file:/tmp/bench"]);
  }
} finally {
  await cluster.cli("down", ["--volumes"]);
}
const variants = ["encrypted", "in plain", "local[2]"];
process.stdout.write(`| seconds, median of ${rounds} | ${variants.join(" | ")} | encrypted to plain |\n`);
process.stdout.write(`| --- | ${variants.map(() => "---").join(" | ")} | --- |\n`);
for (const [what, row] of times) {
  const cells = variants.map((variant) => median(row.get(variant) ?? []));
  const ratio = ((cells[0] ?? 0) / (cells[1] ?? 1)).toFixed(2);
  process.stdout.write(
    `| ${what} | ${cells.map((s) => (Number.isNaN(s) ? "-" : s.toFixed(1))).join(" | ")} | ${ratio} |\n`,
  );
}
