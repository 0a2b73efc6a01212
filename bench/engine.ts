import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { ROOT } from "../lib/root.ts";
import { DEMO } from "../tests/engine/demo.ts";
import { type Outcome, Stack } from "../tests/engine/stack.ts";
import { Terraform, terraformOf, withAgents } from "./terraform.ts";

/**
 * Measures the program alone, without an engine, and on the real engine against Terraform with the same resources, both on
 * a cloud in memory that answers at once. Prints Markdown tables; compare ratios of one run, not seconds.
 *
 *   node bench/engine.ts [--agents 10,100,1000] [--runs 3] [program] [engine]
 *
 * `engine` needs `pulumi` and `terraform` on PATH, with their OpenStack providers installed.
 */

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { agents: { type: "string", default: "10,100,1000" }, runs: { type: "string", default: "3" } },
});
const sizes = values.agents.split(",").map(Number);
const wanted = positionals.length > 0 ? positionals : ["program", "engine"];

const median = (numbers: number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

/** Clusters of this size and above are measured once. */
const LARGE = 1000;
const runsOf = (agents: number): number => (agents >= LARGE ? 1 : Number(values.runs));

function program(): void {
  process.stdout.write("\n| the program alone | CPU s | MiB at most | resources | MB of inputs |\n");
  process.stdout.write("| --- | --- | --- | --- | --- |\n");
  for (const agents of sizes) {
    const samples = Array.from({ length: runsOf(agents) }, () => {
      const { stdout, stderr, status } = spawnSync(process.execPath, [join(ROOT, "bench", "program.ts"), `${agents}`]);
      if (status !== 0) throw new Error(stderr.toString());
      return JSON.parse(stdout.toString()) as { cpu: number; mib: number; resources: number; megabytes: number };
    });
    const of = (key: keyof (typeof samples)[number]): number => median(samples.map((s) => s[key]));
    process.stdout.write(
      `| ${agents} agents | ${of("cpu").toFixed(2)} | ${of("mib").toFixed(0)} | ${of("resources")} | ${of("megabytes").toFixed(2)} |\n`,
    );
  }
}

/** The cloud has a thread of its own: its time is nobody's. */
async function startCloud(): Promise<{ env: Record<string, string>; stop: () => Promise<number> }> {
  const worker = new Worker(new URL("./cloud-thread.ts", import.meta.url));
  const env = await new Promise<Record<string, string>>((resolve, reject) => {
    worker.once("message", resolve).once("error", reject);
  });
  return { env, stop: () => worker.terminate() };
}

const STEPS = ["preview", "up", "up, no change"] as const;
type Seconds = Record<(typeof STEPS)[number], number>;

function expectSuccess(outcome: Outcome, unchanged = false): void {
  if (outcome.code !== 0) throw new Error(outcome.text);
  if (unchanged && outcome.changes.length > 0) throw new Error(`changed: ${outcome.changes.join(", ")}`);
}

async function timed(work: () => Promise<unknown> | unknown): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

interface Sample {
  pulumi: Seconds;
  terraform: Seconds;
  resources: number;
  stateBytes: number;
}

async function sample(agents: number): Promise<Sample> {
  const cloud = await startCloud();
  const stack = new Stack({
    config: { ...DEMO, agentCount: agents },
    env: { ...cloud.env, TRIPLEWIDE_READINESS: "api" },
  });
  try {
    await stack.init();
    const pulumi = {} as Seconds;
    pulumi.preview = await timed(async () => expectSuccess(await stack.preview()));
    pulumi.up = await timed(async () => expectSuccess(await stack.up()));
    pulumi["up, no change"] = await timed(async () => expectSuccess(await stack.up(), true));
    const state = await stack.state();
    const resources = state.deployment.resources ?? [];
    const terraform = await terraformSeconds(terraformOf(resources));
    return { pulumi, terraform, resources: resources.length, stateBytes: JSON.stringify(state).length };
  } finally {
    stack.remove();
    await cloud.stop();
  }
}

/** On a cloud of its own, so that nothing is there twice. */
async function terraformSeconds(configuration: string): Promise<Seconds> {
  const cloud = await startCloud();
  const terraform = new Terraform(configuration, cloud.env);
  try {
    return {
      preview: await timed(() => terraform.plan()),
      up: await timed(() => terraform.apply()),
      "up, no change": await timed(() => terraform.apply()),
    };
  } finally {
    terraform.remove();
    await cloud.stop();
  }
}

/** Only the preview: a thousand servers take this provider half an hour to make, with either tool. */
async function preview(agents: number): Promise<{ pulumi: number; terraform: number }> {
  const cloud = await startCloud();
  const env = { ...cloud.env, TRIPLEWIDE_READINESS: "api" };
  const small = new Stack({ config: { ...DEMO, agentCount: 1 }, env });
  const large = new Stack({ config: { ...DEMO, clusterName: "large", agentCount: agents }, env });
  try {
    expectSuccess(await (await small.init()).up());
    const configuration = withAgents(terraformOf((await small.state()).deployment.resources ?? []), agents);
    const terraform = new Terraform(configuration, cloud.env);
    await large.init();
    const seconds = {
      pulumi: await timed(async () => expectSuccess(await large.preview())),
      terraform: await timed(() => terraform.plan()),
    };
    terraform.remove();
    return seconds;
  } finally {
    small.remove();
    large.remove();
    await cloud.stop();
  }
}

async function engine(): Promise<void> {
  process.stdout.write("\n| Pulumi and Terraform | step | Pulumi s | Terraform s | ratio |\n");
  process.stdout.write("| --- | --- | --- | --- | --- |\n");
  for (const agents of sizes) {
    if (agents >= LARGE) {
      const { pulumi, terraform } = await preview(agents);
      const ratio = (pulumi / terraform).toFixed(2);
      process.stdout.write(
        `| ${agents} agents | preview | ${pulumi.toFixed(1)} | ${terraform.toFixed(1)} | ${ratio} |\n`,
      );
      continue;
    }
    const samples: Sample[] = [];
    for (let i = 0; i < runsOf(agents); i++) samples.push(await sample(agents));
    for (const step of STEPS) {
      const pulumi = median(samples.map((s) => s.pulumi[step]));
      const terraform = median(samples.map((s) => s.terraform[step]));
      const ratio = median(samples.map((s) => s.pulumi[step] / s.terraform[step]));
      process.stdout.write(
        `| ${agents} agents | ${step} | ${pulumi.toFixed(1)} | ${terraform.toFixed(1)} | ${ratio.toFixed(2)} |\n`,
      );
    }
    const [first] = samples;
    process.stdout.write(
      `| ${agents} agents | ${first?.resources} resources, ${((first?.stateBytes ?? 0) / 1e6).toFixed(2)} MB of state | | | |\n`,
    );
  }
}

if (wanted.includes("program")) program();
if (wanted.includes("engine")) await engine();
