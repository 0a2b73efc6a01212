import { hostKeyAlias } from "../cluster/host-keys.ts";
import type { Cluster, Machine } from "../cluster/types.ts";
import { EXIT_FAILED } from "../lib/errors.ts";
import { remark } from "../lib/terminal.ts";
import { Ssh } from "../machines/ssh.ts";
import { projectFolder } from "./common.ts";
import { pulumi } from "./pulumi.ts";

/** The machines of a stack on OpenStack, and the stack's outputs. */
export interface StackMachines {
  /** Connects through the bastion, with the key that the stack made. */
  ssh: Ssh;
  /** Every output of the stack, including secret ones. */
  outputs: Readonly<Record<string, unknown>>;
}

/**
 * Every output of a stack, by name.
 *
 * @param secrets `"show"` also gives the values of secret ones, `"hide"` gives `[secret]` in their place.
 * @throws UserError where there is no Pulumi CLI, or no such stack.
 */
export async function stackOutputs(environment: string, secrets: "show" | "hide"): Promise<Record<string, unknown>> {
  const shown = secrets === "show" ? ["--show-secrets"] : [];
  const args = ["stack", "output", "--json", ...shown, "--stack", environment];
  return JSON.parse(await pulumi(projectFolder(), args, "read")) as Record<string, unknown>;
}

/** One output of a stack, as text. @throws UserError where there is no Pulumi CLI, or no such stack or output. */
export async function stackOutput(environment: string, name: string): Promise<string> {
  const args = ["stack", "output", name, "--show-secrets", "--stack", environment];
  return (await pulumi(projectFolder(), args, "read")).trim();
}

/** Message of the updates by `triplewide scale`, by which it recognizes them in a stack's history. */
export const OWN_MESSAGE = "triplewide scale";

/** The number of updates that are searched for the last one that was not by `triplewide scale`. */
const HISTORY = 500;

/** An update in a stack's history, as `pulumi stack history --json` has it: the newest first. */
export interface StackUpdate {
  kind: string;
  message?: string;
  startTime: string;
  endTime?: string;
}

/**
 * The end of the last update that was not by `triplewide scale`. If all updates in the history are by it, the begin of the oldest one,
 * which is later. `undefined` if there is no update.
 */
export function lastUpIn(history: readonly StackUpdate[]): Date | undefined {
  const updates = history.filter(({ kind }) => kind === "update");
  const last = updates.find(({ message }) => message !== OWN_MESSAGE);
  const time = last === undefined ? updates.at(-1)?.startTime : (last.endTime ?? last.startTime);
  return time === undefined ? undefined : new Date(time);
}

/** Whether `triplewide scale` began to end a stack after the last update that was not its own. */
export function endBeganIn(history: readonly StackUpdate[]): boolean {
  const last = history.find(({ kind, message }) =>
    kind === "update" ? message !== OWN_MESSAGE : kind === "destroy" && message === OWN_MESSAGE,
  );
  return last?.kind === "destroy";
}

/** The last updates of a stack, the newest first. @throws UserError where there is no Pulumi CLI, or no such stack. */
export async function historyOfStack(environment: string): Promise<StackUpdate[]> {
  const args = ["stack", "history", "--json", "--page-size", String(HISTORY), "--stack", environment];
  return JSON.parse((await pulumi(projectFolder(), args, "read")) || "[]") as StackUpdate[];
}

/** @throws UserError where there is no Pulumi CLI, or no such stack. */
export async function machinesOfStack(cluster: Cluster, environment: string): Promise<StackMachines> {
  const outputs = await stackOutputs(environment, "show");
  // Without keys, as a stack of an older release has none, every machine is refused by name.
  const { bastionAddress, privateKey, sshKnownHosts } = outputs as {
    bastionAddress?: string;
    privateKey?: string;
    sshKnownHosts?: string;
  };
  const alias = hostKeyAlias(cluster, { name: "bastion" });
  const ssh = new Ssh({
    user: cluster.config.sshUser,
    knownHosts: sshKnownHosts ?? "",
    ...(privateKey ? { privateKey } : {}),
    ...(bastionAddress ? { bastion: { name: "bastion", address: bastionAddress, hostKeyAlias: alias } } : {}),
  });
  return { ssh, outputs };
}

/**
 * Runs a script as root on machines of a stack at the same time. A machine that does not answer is named on stderr, and makes the
 * exit code 1.
 *
 * @param read Parses a machine's output into records; `undefined` if it holds none.
 * @throws UserError where there is no Pulumi CLI, or no such stack.
 */
export async function askMachines<T>(
  cluster: Cluster,
  environment: string,
  machines: readonly Machine[],
  script: string,
  read: (machine: string, output: string) => T | undefined,
): Promise<T[]> {
  const { ssh } = await machinesOfStack(cluster, environment);
  try {
    const answers = machines.map(async (machine): Promise<T | undefined> => {
      const { code, stdout, stderr } = await ssh.run(machine, "sudo -n bash -s", { input: script });
      const failed = code !== 0 || (stdout === "" && stderr !== "");
      const found = failed && stdout === "" ? undefined : read(machine.name, stdout);
      if (failed || found === undefined) {
        remark(`${machine.name}: ${stderr.trim() || (failed ? `exit code ${code}` : "it has no such records")}\n`);
        process.exitCode = EXIT_FAILED;
      }
      return found;
    });
    return (await Promise.all(answers)).filter((one) => one !== undefined);
  } finally {
    await ssh.close();
  }
}
