import { LOG_FOLDER } from "../cluster/services/logs/logs.ts";
import { shellQuote } from "../lib/quote.ts";
import { printable } from "../lib/text.ts";

/** What services said, of all machines at once and in the order of time. */

/** A line that a service said. */
export interface LogLine {
  /** When, in microseconds since 1970. */
  at: number;
  /** The machine and its service, such as `agent-1 spark-worker`; on this machine's Docker the container. */
  from: string;
  text: string;
}

/** Which lines are asked for. */
export interface LogFilter {
  /** The last ones of each machine or container, counted after the other filters. */
  lines: number;
  /**
   * Seconds since 1970; what was said before does not count.
   * @default from the first line that is kept
   */
  since?: number;
  /**
   * Text that a line has in it, upper and lower case alike.
   * @default every line
   */
  text?: string;
}

/** Bytes of a machine's records at most. SSH keeps 1 MiB of what a command prints. */
const MAX_BYTES = 900_000;

/**
 * Shell script that prints the lines of a machine's services as JSON, the last one first. Needs root.
 *
 * @param files Pattern of the journal's files. @default the journal of the machine that runs the script
 */
export function journalScript({ lines, since, text }: LogFilter, files?: string): string {
  const words = ["journalctl", "--no-pager", "--reverse", "--unit", "triplewide-*"];
  if (files !== undefined) words.push("--file", files);
  words.push("--output", "json", "--output-fields", "MESSAGE,_SYSTEMD_UNIT,UNIT");
  if (since !== undefined) words.push("--since", `@${since}`);
  // journalctl takes a pattern: a quoted one is a text.
  if (text !== undefined) words.push("--case-sensitive=no", "--grep", `\\Q${text.replaceAll("\\E", "\\E\\\\E\\Q")}\\E`);
  return `${words.map(shellQuote).join(" ")} | head -n ${lines} | head -c ${MAX_BYTES}\nexit 0\n`;
}

/** Shell script that prints the name of each machine whose journal the client keeps. Needs root. */
export const keptMachinesScript = (): string =>
  `cd ${LOG_FOLDER} && ls | sed -nE 's/(@.*)?\\.journal~?$//p' | sort -u\n`;

/** Files of a machine's journal that the client keeps. */
export const keptJournal = (machine: string): string => `${LOG_FOLDER}/${machine}[.@]*`;

/** Reads what `journalScript` printed. A record that was cut off, the oldest, does not count. */
export function readJournal(machine: string, records: string): LogLine[] {
  return records.split("\n").flatMap((record): LogLine[] => {
    let fields: Record<string, unknown>;
    try {
      fields = JSON.parse(record) as Record<string, unknown>;
    } catch {
      return [];
    }
    // What systemd says of a unit has the unit in UNIT, which whoever logs can write too; bytes that are no text come as numbers, and a very
    // long line as null.
    const said = fields.MESSAGE;
    const own = fields._SYSTEMD_UNIT;
    const unit = String(own === "init.scope" ? (fields.UNIT ?? own) : own).replace(/^triplewide-|\.\w+$/g, "");
    const text = Array.isArray(said) ? Buffer.from(said as number[]).toString() : String(said ?? "(a very long line)");
    return [{ at: Number(fields.__REALTIME_TIMESTAMP), from: `${machine} ${printable(unit)}`, text }];
  });
}

/** Reads what `docker logs --timestamps` printed, with the filter's text and number of lines. */
export function readDockerLogs(container: string, printed: string, { lines, text = "" }: LogFilter): LogLine[] {
  const wanted = text.toLowerCase();
  return printed
    .split("\n")
    .flatMap((line): LogLine[] => {
      const [, second, fraction = "", said = ""] = /^(\S+T[\d:]+)(?:\.(\d+))?Z ?(.*)$/s.exec(line) ?? [];
      if (second === undefined || !said.toLowerCase().includes(wanted)) return [];
      const at = Date.parse(`${second}Z`) * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
      return [{ at, from: container, text: said }];
    })
    .slice(-lines);
}

/** Lines of all machines as one text, in the order of time. Control characters, which would steer a terminal, are left out. */
export function logText(lines: readonly LogLine[]): string {
  const width = Math.max(0, ...lines.map(({ from }) => from.length));
  return [...lines]
    .sort((a, b) => a.at - b.at)
    .map(({ at, from, text }) => {
      const time = new Date(Math.floor(at / 1000)).toISOString();
      const shown = text.replaceAll(/\p{Cc}\[[\d;]*m/gu, "").replaceAll(/(?!\t)\p{Cc}/gu, " ");
      return `${time} ${from.padEnd(width)} | ${shown.trimEnd()}\n`;
    })
    .join("");
}
