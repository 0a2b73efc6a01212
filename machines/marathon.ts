import { readFileSync } from "node:fs";
import { join } from "node:path";
import { shellQuote } from "../lib/quote.ts";
import type { MarathonAnswer, MarathonHttp } from "../marathon/apply.ts";
import type { Ssh, SshTarget } from "./ssh.ts";

/**
 * Program that sends one request to Marathon from Marathon's own machine. The request goes in by standard input and the
 * login is read from a file of the machine, so neither can be seen on a command line. It is Python because cloud-init
 * needs Python, and so every guest has it.
 */
const RELAY = join(import.meta.dirname, "marathon-relay.py");

export interface RelayOptions {
  /** Runs commands on the machines. */
  ssh: Pick<Ssh, "run">;
  /** Machines with a Marathon. Any of them passes a request on to the leader. */
  machines: readonly SshTarget[];
  /** Marathon's port on each machine. */
  port: number;
  /** `user:password` on the machine, readable by root. */
  loginFile: string;
}

/** HTTP to Marathon through SSH. Each request is tried on one machine after the other until a Marathon answers. */
export function throughSsh({ ssh, machines, port, loginFile }: RelayOptions): MarathonHttp {
  const relay = readFileSync(RELAY, "utf8");
  return async (request) => {
    let answer: MarathonAnswer = { status: 0, body: "there is no machine with a Marathon" };
    for (const machine of machines) {
      const command = ["sudo", "-n", "python3", "-c", relay, `${machine.address}:${port}`, loginFile].map(shellQuote);
      const { code, stdout, stderr } = await ssh.run(machine, command.join(" "), { input: JSON.stringify(request) });
      if (code !== 0)
        answer = { status: 0, body: `${machine.name}: ${stderr.trim().split("\n").at(-1) || `code ${code}`}` };
      else answer = JSON.parse(stdout) as MarathonAnswer;
      if (answer.status !== 0) break;
    }
    return answer;
  };
}
