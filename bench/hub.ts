import { join } from "node:path";
import { parseArgs } from "node:util";
import { captured } from "../lib/exec.ts";
import { ROOT } from "../lib/root.ts";
import { docker, findDocker } from "../local/docker.ts";
import { Visitor } from "../tests/hub/visitor.ts";

/**
 * Measures the hub with many users: seconds from a login to a notebook server that answers, and to a kernel's first answer, for one alone
 * and for all at the same time, and the memory that each server then takes. Prints a Markdown table.
 *
 *   node bench/hub.ts [--users N]
 */

const { values } = parseArgs({ options: { users: { type: "string", default: "20" } } });
const names = Array.from({ length: Number(values.users) }, (_, i) => `user-${i + 1}`);
const HUB_PORT = 28000;
const ports = [
  "jupyterPort=28888",
  "sparkMasterPort=27077",
  "sparkMasterUiPort=28080",
  "sparkUiPort=24040",
  "gatewayPort=28090",
];
const settings = [
  "clusterName=tw-bench",
  "networkCidr=10.95.0.0/16",
  "agentCount=1",
  `hubPort=${HUB_PORT}`,
  "notebooks=hub",
  `users=${JSON.stringify(Object.fromEntries(names.map((name) => [name, {}])))}`,
  ...ports,
];
const cli = async (...args: string[]): Promise<string> => {
  const sets = settings.flatMap((text) => ["--set", text]);
  const { code, output } = await captured(process.execPath, [join(ROOT, "cli/main.ts"), ...args, ...sets]);
  if (code !== 0) throw new Error(output);
  return output;
};

/** Seconds from the login to the server, and from there to what a first cell prints. */
async function begin(name: string, password: string): Promise<{ server: number; kernel: number }> {
  const visitor = new Visitor(`http://127.0.0.1:${HUB_PORT}`, name);
  const start = performance.now();
  await visitor.logIn(password);
  while (!(await visitor.hasServer())) await new Promise((resolve) => setTimeout(resolve, 500));
  const there = performance.now();
  const run = await visitor.kernel();
  if ((await run("print(1)")) !== "1\n") throw new Error(`${name}: the kernel does not answer`);
  return { server: (there - start) / 1000, kernel: (performance.now() - there) / 1000 };
}

/** MiB that each user's server takes. */
async function memory(): Promise<number[]> {
  const d = await findDocker();
  const containers = names.map((name) => `tw-bench-client-user-${name}`);
  const lines = await docker(d, ["stats", "--no-stream", "--format", "{{.MemUsage}}", ...containers]);
  return [...lines.matchAll(/^([\d.]+)(MiB|GiB)/gm)].map(
    ([, size, unit]) => Number(size) * (unit === "GiB" ? 1024 : 1),
  );
}

const median = (numbers: number[]): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

await cli("down", "--volumes");
try {
  await cli("up", "--no-smoke");
  const passwords = new Map(
    [...(await cli("users")).matchAll(/^ {2}(\S+) +(\S+)$/gm)].map(([, name, password]) => [name, password]),
  );
  const first = names[0] ?? "";
  const alone = await begin(first, passwords.get(first) ?? "");
  const others = names.slice(1);
  const all = await Promise.all(others.map((name) => begin(name, passwords.get(name) ?? "")));
  const sizes = await memory();
  const row = (what: string, samples: { server: number; kernel: number }[]): string => {
    const [server, kernel] = [samples.map((one) => one.server), samples.map((one) => one.kernel)];
    const slowest = Math.max(...server).toFixed(1);
    return `| ${[what, median(server).toFixed(1), slowest, median(kernel).toFixed(1), (median(server) / alone.server).toFixed(1)].join(" | ")} |`;
  };
  process.stdout.write(
    [
      "| users at once | server, s | slowest | first cell, s | ratio to one alone |",
      "| --- | --- | --- | --- | --- |",
      row("1", [alone]),
      ...(others.length > 0 ? [row(String(others.length), all)] : []),
      `\nMemory of a server with one plain kernel: ${median(sizes).toFixed(0)} MiB (largest ${Math.max(...sizes).toFixed(0)}).\n`,
    ].join("\n"),
  );
} finally {
  await cli("down", "--volumes");
}
