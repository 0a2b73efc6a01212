import { type Command, InvalidArgumentError } from "commander";
import { describeCluster, loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import { logKeeper } from "../cluster/services/logs/logs.ts";
import type { Config } from "../config/schema.ts";
import { UserError } from "../lib/errors.ts";
import { captured } from "../lib/exec.ts";
import { print } from "../lib/terminal.ts";
import { containerStates } from "../local/health.ts";
import {
  journalScript,
  keptJournal,
  keptMachinesScript,
  type LogFilter,
  type LogLine,
  logText,
  readDockerLogs,
  readJournal,
} from "../render/logs.ts";
import { projectFolder } from "./common.ts";
import { type LocalOptions, localCluster, localCommand } from "./local.ts";
import { presentCluster } from "./present.ts";
import { askMachines, machinesOfStack } from "./stack.ts";

/** The most lines for each service or machine. A machine's records are also limited to 900,000 bytes. */
const MAX_LINES = 1000;
const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 };

interface Options extends LocalOptions {
  lines: number;
  since?: number;
  grep?: string;
  stored?: boolean;
}

/** `triplewide logs`. */
export function logs(): Command {
  return localCommand(
    "logs",
    "Prints what the services of all machines said, in the order of time.",
    "On OpenStack by SSH, from the machines' journals. Exit code 1 where a machine cannot be asked.",
    [
      "triplewide logs",
      'triplewide logs --env prod --since 2h --grep "out of memory"',
      'triplewide logs --env prod --stored --since 7d --grep "lost executor"',
    ],
  )
    .option("--lines <number>", "the last lines: of each service, on OpenStack of each machine", wholeLines, 50)
    .option(
      "--since <time>",
      "only from then on: 30s, 10m, 2h or 7d ago, or 2026-11-27T08:00:00Z (default: all)",
      moment,
    )
    .option("--grep <text>", "only lines with this text, upper and lower case alike (default: all)")
    .option(
      "--stored",
      "what the client has kept of all machines, of those too that are gone, with monitoring on OpenStack (default: what each has)",
    )
    .action(async ({ lines, since, grep, stored, ...options }: Options) => {
      const config = loadConfig(projectFolder(), options.env, options.set);
      const filter = {
        lines,
        ...(since === undefined ? {} : { since }),
        ...(grep === undefined ? {} : { text: grep }),
      };
      const local = platformOf(config).machinesAreContainers;
      const found = await (stored
        ? keptLogs(config, options.env, filter)
        : local
          ? ofContainers(config, options.env, filter)
          : ofMachines(config, options.env, filter));
      print(logText(found));
    });
}

async function ofContainers(config: Config, env: string, filter: LogFilter): Promise<LogLine[]> {
  const { docker, containers } = await localCluster(config, env);
  const found: LogLine[] = [];
  for (const { name } of await containerStates(docker, containers)) {
    const args = ["logs", "--timestamps"];
    if (filter.since !== undefined) args.push("--since", String(filter.since));
    if (filter.text === undefined) args.push("--tail", String(filter.lines));
    // Both streams use one pipe, so that lines of one do not split lines of the other.
    const { output } = await captured("sh", ["-c", 'exec "$@" 2>&1', "sh", docker.client, ...args, name]);
    found.push(...readDockerLogs(name, output, filter));
  }
  return found;
}

async function ofMachines(config: Config, env: string, filter: LogFilter): Promise<LogLine[]> {
  const cluster = await presentCluster(config, env);
  return (await askMachines(cluster, env, cluster.machines, journalScript(filter), readJournal)).flat();
}

/** Reads the stored logs of all machines. @throws UserError if no machine stores them, or it does not answer. */
async function keptLogs(config: Config, env: string, filter: LogFilter): Promise<LogLine[]> {
  const cluster = describeCluster(config);
  const client = logKeeper(cluster);
  if (client === undefined) {
    throw new UserError(
      platformOf(config).machinesAreContainers
        ? "--stored is for machines: this computer's Docker keeps the logs of containers for as long as they are there. Leave it out"
        : "the cluster keeps no logs of its machines: set monitoring to true",
    );
  }
  const { ssh } = await machinesOfStack(cluster, env);
  const ask = async (script: string): Promise<string> => {
    const { code, stdout, stderr } = await ssh.run(client, "sudo -n bash -s", { input: script });
    if (code !== 0) throw new UserError(`the client's logs: ${stderr.trim() || `exit code ${code}`}`);
    return stdout;
  };
  try {
    const machines = (await ask(keptMachinesScript())).split("\n").filter((name) => name !== "");
    const found = machines.map(async (name) => readJournal(name, await ask(journalScript(filter, keptJournal(name)))));
    return (await Promise.all(found)).flat();
  } finally {
    await ssh.close();
  }
}

function wholeLines(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text) || Number(text) > MAX_LINES)
    throw new InvalidArgumentError(`Give a number from 1 to ${MAX_LINES}.`);
  return Number(text);
}

/** Parses a time. @returns Seconds since 1970. */
function moment(text: string): number {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const seconds =
    unit === undefined
      ? Date.parse(text) / 1000
      : Date.now() / 1000 - Number(count) * UNITS[unit as keyof typeof UNITS];
  if (!(seconds >= 0))
    throw new InvalidArgumentError("Give 30s, 10m, 2h or 7d, or a time such as 2026-11-27T08:00:00Z.");
  return Math.floor(seconds);
}
