import type { Cluster } from "../cluster/types.ts";
import { shellQuote } from "../lib/quote.ts";
import type { Operator } from "../mesos/leader.ts";
import { pathOnMachine } from "../render/cloud-init.ts";
import type { Ssh } from "./ssh.ts";

/** Runs a command on a server as root. @returns Its output, or why it failed. */
export async function asRoot(
  ssh: Pick<Ssh, "run">,
  machine: Parameters<Ssh["run"]>[0],
  command: readonly string[],
): Promise<{ code: number; output: string }> {
  const { code, stdout, stderr } = await ssh.run(machine, `sudo -n ${command.map(shellQuote).join(" ")}`);
  return { code, output: code === 0 ? stdout : stderr };
}

/** Runs commands of Mesos' operator on the servers of a cluster's masters, where the login's files are. */
export const onMachines = (cluster: Cluster, ssh: Pick<Ssh, "run">): Operator => ({
  cluster,
  run: (master, command) => asRoot(ssh, master, command),
  pathOf: (master, path) => pathOnMachine(cluster, master, path),
});
