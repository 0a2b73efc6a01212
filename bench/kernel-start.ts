import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { captured } from "../lib/exec.ts";
import { ROOT } from "../lib/root.ts";
import { findDocker } from "../local/docker.ts";

/**
 * Measures how long a new kernel takes from its first cell to the first results: a session, a Python job, a SQL job. On a cluster of
 * two agents on this machine, against `local[2]` in the same image. Prints a Markdown table of medians, and of ratios of the pairs.
 *
 *   node bench/kernel-start.ts [--runs N]
 */

const { values } = parseArgs({ options: { runs: { type: "string", default: "5" } } });
const CELLS = ["session", "python", "sql"] as const;
type Sample = Record<(typeof CELLS)[number], number> & { master: string; archives: boolean };

const ports = ["jupyterPort=28888", "sparkMasterPort=27077", "sparkMasterUiPort=28080", "sparkUiPort=24040"];
const settings = ["clusterName=tw-bench", "networkCidr=10.95.0.0/16", "agentCount=2", ...ports];
const cli = async (...args: string[]): Promise<void> => {
  const sets = settings.flatMap((text) => ["--set", text]);
  const { code, output } = await captured(process.execPath, [join(ROOT, "cli/main.ts"), ...args, ...sets]);
  if (code !== 0) throw new Error(output);
};

/** Runs the kernels, and shows each sample as it comes. */
async function samples(): Promise<Sample[]> {
  const { client } = await findDocker();
  const python = spawn(client, ["exec", "-i", "tw-bench-client-jupyter", "python3", "-", values.runs], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  createReadStream(join(ROOT, "bench/kernel-start.py")).pipe(python.stdin);
  const found: Sample[] = [];
  for await (const line of createInterface(python.stdout)) {
    process.stderr.write(`${line}\n`);
    found.push(JSON.parse(line));
  }
  return found;
}

const median = (numbers: number[]): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
const total = (sample: Sample): number => CELLS.reduce((sum, cell) => sum + sample[cell], 0);

function table(all: Sample[]): string {
  const of = (master: string, archives: boolean) =>
    all.filter((sample) => sample.master === master && sample.archives === archives);
  const reference = of("local[2]", true).map(total);
  const rows = [false, true].flatMap((archives) =>
    ["local[2]", ""].map((master) => {
      const own = of(master, archives);
      const parts = CELLS.map((cell) => median(own.map((sample) => sample[cell])).toFixed(1));
      const pairs = own.map((sample, i) => total(sample) / (of("local[2]", archives).map(total)[i] ?? Number.NaN));
      const ratio = median(pairs).toFixed(2);
      const first = median(own.map((sample, i) => total(sample) / (reference[i] ?? Number.NaN))).toFixed(2);
      const where = `${master || "the cluster"}, ${archives ? "with" : "without"} archives`;
      return `| ${[where, ...parts, median(own.map(total)).toFixed(1), ratio, first].join(" | ")} |`;
    }),
  );
  const columns = [
    "",
    "session s",
    "Python job s",
    "SQL job s",
    "all",
    "to local[2] beside it",
    "to local[2] with archives",
  ];
  return [`| ${columns.join(" | ")} |`, `|${" --- |".repeat(columns.length)}`, ...rows].join("\n");
}

await cli("down", "--volumes");
try {
  await cli("up", "--no-smoke");
  process.stdout.write(`${table(await samples())}\n`);
} finally {
  await cli("down", "--volumes");
}
