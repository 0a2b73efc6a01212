import type { MarathonAnswer, MarathonHttp } from "../marathon/apply.ts";
import { type Ssh, type SshTarget, shellQuote } from "./ssh.ts";

/**
 * Asks Marathon from its own machine. Request and answer are JSON on standard input and output; the login is read from the
 * machine's own file: nothing of it stands on a command line. Python, because cloud-init needs it and hence every guest has it.
 */
const RELAY = `
import base64, json, sys, urllib.error, urllib.request
address, login, request = sys.argv[1], open(sys.argv[2]).read(), json.load(sys.stdin)
body = request.get("body")
call = urllib.request.Request("http://" + address + request["path"], method=request["method"], data=body and body.encode())
call.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
call.add_header("Content-Type", "application/json")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    with opener.open(call, timeout=30) as answer:
        status, text = answer.status, answer.read().decode()
except urllib.error.HTTPError as error:
    status, text = error.code, error.read().decode(errors="replace")
except OSError as error:
    status, text = 0, str(error)
print(json.dumps({"status": status, "body": text}))
`.trim();

export interface RelayOptions {
  ssh: Pick<Ssh, "run">;
  /** Machines with a Marathon. Any of them passes a request on to the leader. */
  machines: readonly SshTarget[];
  port: number;
  /** `user:password` on the machine, readable by root. */
  loginFile: string;
}

/** Marathon as it is reached through SSH: the first machine that answers. */
export function throughSsh({ ssh, machines, port, loginFile }: RelayOptions): MarathonHttp {
  return async (request) => {
    let answer: MarathonAnswer = { status: 0, body: "there is no machine with a Marathon" };
    for (const machine of machines) {
      const command = ["sudo", "-n", "python3", "-c", RELAY, `${machine.address}:${port}`, loginFile].map(shellQuote);
      const { code, stdout, stderr } = await ssh.run(machine, command.join(" "), { input: JSON.stringify(request) });
      if (code !== 0)
        answer = { status: 0, body: `${machine.name}: ${stderr.trim().split("\n").at(-1) || `code ${code}`}` };
      else answer = JSON.parse(stdout) as MarathonAnswer;
      if (answer.status !== 0) break;
    }
    return answer;
  };
}
