import type { Probe } from "../cluster/probe.ts";
import { printfFormat, shellQuote, shellWord } from "../lib/quote.ts";
import { exchange, type Peer } from "./exchange.ts";

/**
 * A probe as a command: exit code 0 where what is asked works.
 *
 * @param pathOf Where a file of the definition lies on the system that runs the command. @default where the definition says
 */
export function probeCommand(probe: Probe, pathOf: (path: string) => string = (path) => path): string[] {
  return ["bash", "-c", script(probe, pathOf)];
}

function script(probe: Probe, pathOf: (path: string) => string): string {
  switch (probe.kind) {
    case "tcp":
      return `exec 3<>/dev/tcp/${probe.host}/${probe.port}`;
    case "line":
      return ask(probe, shellQuote(printfFormat(probe.line)));
    case "http": {
      const head = printfFormat(`GET ${probe.path} HTTP/1.0`);
      const login =
        probe.loginFile === undefined
          ? ""
          : `Authorization: Basic '"$(base64 -w0 ${shellWord(pathOf(probe.loginFile))})"'\\r\\n`;
      if (/['\r\n]/.test(`${head}${probe.host}`)) throw new Error(`not a request line: ${head}`);
      const { host, port, match, authorityFile: file } = probe;
      const to = { host, port, match, ...(file === undefined ? {} : { authorityFile: pathOf(file) }) };
      return ask(to, `'${head}\\r\\nHost: ${probe.host}\\r\\n${login}\\r\\n'`);
    }
    case "any":
      return probe.of.map((one) => `(${script(one, pathOf)}) 2>/dev/null`).join(" || ");
    case "all":
      return probe.of.map((one) => `(${script(one, pathOf)})`).join(" && ");
  }
}

const ask = (to: Peer & { match: string }, format: string): string =>
  exchange(to, format, `grep -Eq ${shellQuote(to.match)}`);
