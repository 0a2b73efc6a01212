import { execFile } from "node:child_process";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { defineCluster } from "../cluster/define.ts";
import type { Cluster } from "../cluster/types.ts";
import { loadConfig } from "../config/stack.ts";
import { shellQuote } from "../lib/quote.ts";
import { captured, findDocker } from "../local/docker.ts";
import { Ssh } from "../machines/ssh.ts";
import { type DrainOptions, drain, reactivate } from "../mesos/drain.ts";
import { onHost } from "../render/cloud-init/paths.ts";
import { containerName } from "../render/compose.ts";
import { ROOT, reportAndExit, UserError } from "./common.ts";

/** `npm run drain -- <environment> <agent>`: takes a Mesos agent out of service and waits until it is empty. */
const USAGE =
  "usage: npm run drain -- <environment> <agent> [--back] [--grace SECONDS] [--timeout SECONDS] [--set key=value]...";

type Run = DrainOptions["run"];

/** The master's service, which has the operator's password among its files. */
function masterService(cluster: Cluster, machine: string) {
  const service = cluster.services.find((s) => s.machine === machine && s.name === "mesos-master");
  if (!service) throw new Error(`no Mesos master on ${machine}`);
  return service;
}

/** The project of the current folder, as for `pulumi` itself: this one, under `make` and `npm run`. */
const PROJECT = process.cwd();

async function onThisDocker(cluster: Cluster): Promise<Run> {
  const d = await findDocker();
  return (master, command) =>
    captured(d.client, ["exec", containerName(cluster, masterService(cluster, master.name)), ...command]);
}

/** Through the bastion, with the key that the stack made. */
async function onMachines(cluster: Cluster, environment: string): Promise<{ run: Run; close: () => Promise<void> }> {
  const { stdout } = await promisify(execFile)(
    "pulumi",
    ["stack", "output", "--json", "--show-secrets", "--stack", environment],
    { cwd: PROJECT, maxBuffer: 64 * 1024 * 1024 },
  ).catch((error: { stderr?: string; message: string }) => {
    throw new UserError(
      `the outputs of stack ${environment} are not to be had: ${(error.stderr || error.message).trim()}`,
    );
  });
  const {
    bastionAddress,
    privateKey,
    serverIds = {},
  } = JSON.parse(stdout) as { bastionAddress?: string; privateKey?: string; serverIds?: Record<string, string> };
  // Addresses come again with the next cluster, with other keys.
  const known = (name: string) => (serverIds[name] ? { serverId: serverIds[name] } : {});
  const ssh = new Ssh({
    user: cluster.config.sshUser,
    knownHostsFile: join(ROOT, ".triplewide", `${cluster.name}-known-hosts`),
    ...(privateKey ? { privateKey } : {}),
    ...(bastionAddress ? { bastion: { name: "bastion", address: bastionAddress, ...known("bastion") } } : {}),
  });
  const run: Run = async (master, command) => {
    const here = cluster.services.filter((s) => s.machine === master.name);
    const words = onHost(command, here).map(shellQuote).join(" ");
    const { code, stdout: out, stderr } = await ssh.run({ ...master, ...known(master.name) }, `sudo -n ${words}`);
    return { code, output: code === 0 ? out : stderr };
  };
  return { run, close: () => ssh.close() };
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      back: { type: "boolean", default: false },
      grace: { type: "string", default: "60" },
      timeout: { type: "string", default: "600" },
      set: { type: "string", multiple: true, default: [] },
    },
  });
  const [environment, agent, ...extra] = positionals;
  const numbers = [values.grace, values.timeout].map(Number);
  if (environment === undefined || agent === undefined || extra.length > 0 || !numbers.every(Number.isInteger)) {
    process.stderr.write(`${USAGE}\n`);
    process.exitCode = 2;
    return;
  }
  const cluster = defineCluster(loadConfig(PROJECT, environment, values.set));
  const docker = cluster.config.platform === "docker";
  const { run, close } = docker
    ? { run: await onThisDocker(cluster), close: async () => {} }
    : await onMachines(cluster, environment);
  const [graceSeconds = 0, timeoutSeconds = 0] = numbers;
  const report = (line: string): void => void process.stdout.write(`${line}\n`);
  const options: DrainOptions = { cluster, agent, graceSeconds, timeoutSeconds, run, report };
  try {
    await (values.back ? reactivate(options) : drain(options));
  } finally {
    await close();
  }
}

await main().catch(reportAndExit);
