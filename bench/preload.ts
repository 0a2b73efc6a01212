import { execFile } from "node:child_process";
import { parseArgs, promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { DEMO } from "../tests/engine/demo.ts";
import { Stack } from "../tests/engine/stack.ts";

/**
 * Measures what each part of components/preload.cjs gains in a preview on the real engine: with all parts, with none, and
 * with all but one, round after round in one run. Prints a Markdown table.
 *
 *   node bench/preload.ts [--agents 10,100,1000] [--rounds 3] [--large-rounds 2]
 */

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "10,100,1000" },
    rounds: { type: "string", default: "3" },
    "large-rounds": { type: "string", default: "2" },
  },
});

/** The parts that components/preload.cjs has. */
const PARTS = ["later", "stripped", "debug", "traces"];
const VARIANTS = new Map([
  ["all", PARTS.join(",")],
  ["none", "off"],
  ...PARTS.map((part) => [`all but ${part}`, PARTS.filter((p) => p !== part).join(",")] as const),
]);

interface Sample {
  wall: number;
  cpu: number;
}

/** One preview of a stack of which nothing exists. */
async function preview(stack: Stack, parts: string): Promise<Sample> {
  const command = `TIMEFORMAT='%R %U %S'; time pulumi preview --non-interactive --stack test >/dev/null`;
  const { stderr } = await promisify(execFile)("bash", ["-c", command], {
    cwd: stack.folder,
    env: { ...stack.environment, TRIPLEWIDE_PRELOAD: parts },
  });
  const [wall = Number.NaN, user = 0, system = 0] = (stderr.trim().split("\n").at(-1) ?? "").split(" ").map(Number);
  return { wall, cpu: user + system };
}

const median = (numbers: readonly number[]): number => {
  const sorted = numbers.toSorted((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? Number.NaN) + (sorted[sorted.length >> 1] ?? Number.NaN)) / 2;
};

const worker = new Worker(new URL("./cloud-thread.ts", import.meta.url));
const cloud = await new Promise<Record<string, string>>((resolve, reject) => {
  worker.once("message", resolve).once("error", reject);
});
process.stdout.write("\n| preview | parts | wall s | CPU s | CPU, ratio to all |\n| --- | --- | --- | --- | --- |\n");
for (const agents of values.agents.split(",").map(Number)) {
  const stack = new Stack({ config: { ...DEMO, agentCount: agents }, env: { ...cloud, TRIPLEWIDE_READINESS: "api" } });
  try {
    await stack.init();
    const samples = new Map<string, Sample[]>([...VARIANTS.keys()].map((name) => [name, []]));
    // Fills the caches.
    await preview(stack, VARIANTS.get("all") ?? "");
    const rounds = Number(agents >= 1000 ? values["large-rounds"] : values.rounds);
    for (let round = 0; round < rounds; round++) {
      for (const [name, parts] of VARIANTS) samples.get(name)?.push(await preview(stack, parts));
    }
    const all = median((samples.get("all") ?? []).map((s) => s.cpu));
    for (const [name, taken] of samples) {
      const [wall, cpu] = [median(taken.map((s) => s.wall)), median(taken.map((s) => s.cpu))];
      const ratio = (cpu / all).toFixed(2);
      process.stdout.write(`| ${agents} agents | ${name} | ${wall.toFixed(1)} | ${cpu.toFixed(1)} | ${ratio} |\n`);
    }
  } finally {
    stack.remove();
  }
}
await worker.terminate();
