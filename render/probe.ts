import type { Probe } from "../cluster/probe.ts";
import { printfFormat, shellQuote, shellWord } from "../lib/quote.ts";

/**
 * A probe as a command: exit code 0 where what is asked works. Bash and nothing else (`/dev/tcp`), because bash is what every
 * image and every guest has.
 *
 * @param pathOf Where a login file of the definition lies on the system that runs the command. @default where the definition says
 */
export function probeCommand(probe: Probe, pathOf: (path: string) => string = (path) => path): string[] {
  return ["bash", "-c", script(probe, pathOf)];
}

function script(probe: Probe, pathOf: (path: string) => string): string {
  switch (probe.kind) {
    case "tcp":
      return open(probe);
    case "line":
      return ask(probe, shellQuote(printfFormat(probe.line)));
    case "http": {
      const head = printfFormat(`GET ${probe.path} HTTP/1.0`);
      const login =
        probe.loginFile === undefined
          ? ""
          : `Authorization: Basic '"$(base64 -w0 ${shellWord(pathOf(probe.loginFile))})"'\\r\\n`;
      if (/['\r\n]/.test(`${head}${probe.host}`)) throw new Error(`not a request line: ${head}`);
      return ask(probe, `'${head}\\r\\nHost: ${probe.host}\\r\\n${login}\\r\\n'`);
    }
    case "any":
      return probe.of.map((one) => `(${script(one, pathOf)}) 2>/dev/null`).join(" || ");
    case "all":
      return probe.of.map((one) => `(${script(one, pathOf)})`).join(" && ");
  }
}

const open = ({ host, port }: { host: string; port: number }): string => `exec 3<>/dev/tcp/${host}/${port}`;

const ask = (to: { host: string; port: number; match: string }, format: string): string =>
  `${open(to)} && printf ${format} >&3 && grep -Eq ${shellQuote(to.match)} <&3`;
