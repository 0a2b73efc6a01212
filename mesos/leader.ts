import { libprocessTrust } from "../cluster/services/mesos/libprocess.ts";
import { ADMIN_LOGIN } from "../cluster/services/mesos/mesos.ts";
import type { Cluster, Machine } from "../cluster/types.ts";
import { UserError } from "../lib/errors.ts";
import { type OperatorAnswer, type OperatorCall, operatorCommand, readAnswer } from "./operator.ts";

/** How the operator's calls reach the masters of a cluster. */
export interface Operator {
  cluster: Cluster;
  /** Runs a command on a master's machine, where its files are. */
  run: (master: Machine, command: string[]) => Promise<{ code: number; output: string }>;
  /** Where a file of the master's lies for the commands that `run` runs. @default where the master itself has it */
  pathOf?: (master: Machine, path: string) => string;
}

/** No master answered as the leading one: there may be one in a moment. */
export class NoLeader extends UserError {}

/**
 * Asks one master after the other until the leading one has answered.
 *
 * @throws NoLeader where none did. UserError with Mesos' reason where the leading one refuses.
 */
export async function askLeader(
  { cluster, run, pathOf = (_, path) => path }: Operator,
  what: OperatorCall,
): Promise<unknown> {
  const port = cluster.config.mesosMasterPort;
  const { authorityFile } = libprocessTrust(cluster.config);
  const failures: string[] = [];
  for (const master of cluster.machines.filter((m) => m.roles.includes("mesos-master"))) {
    const trust = authorityFile === undefined ? {} : { authorityFile: pathOf(master, authorityFile) };
    const to = { host: master.address, port, ...trust };
    const { code, output } = await run(master, operatorCommand(to, what, pathOf(master, ADMIN_LOGIN)));
    if (code !== 0) {
      failures.push(`${master.name}: ${output.trim().split("\n").at(-1) || `exit code ${code}`}`);
      continue;
    }
    const answer: OperatorAnswer = readAnswer(output);
    if (answer.kind === "done") return answer.body;
    if (answer.kind === "refused")
      throw new UserError(`the leading Mesos master refuses ${what.type} (${answer.status}): ${answer.reason}`);
    failures.push(`${master.name}: does not lead`);
  }
  throw new NoLeader(`no leading Mesos master answers:\n  ${failures.join("\n  ")}`);
}
