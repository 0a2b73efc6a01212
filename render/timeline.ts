import { xmlText } from "../lib/quote.ts";

/**
 * What a machine did after its boot, and when: from the records that systemd and cloud-init keep in its journal, and from when its
 * own check first passed.
 */

/** What systemd logs when it begins to start a unit, and when the unit has started (systemd.messages). */
const STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5";
const STARTED = "39f53479d3a045ac8e11786248231fbf";

/** Files that a machine's own check makes when it first passes; `--cluster` is the one that also asks for the group's gates. */
const READY_MARKS = "/run/triplewide-ready";

/** Shell script that prints a machine's records of this boot: root's own, whatever others wrote into its journal. Needs root. */
export const RECORDS_SCRIPT = `set -u
systemctl show --property UserspaceTimestampMonotonic
for mark in ${READY_MARKS} ${READY_MARKS}--cluster; do if [ -e $mark ]; then stat -c '%n %.6Y' $mark; fi; done
journalctl --boot --no-pager --output json --output-fields MESSAGE,MESSAGE_ID,UNIT \\
  MESSAGE_ID=${STARTING} _UID=0 + MESSAGE_ID=${STARTED} _UID=0 + SYSLOG_IDENTIFIER=cloud-init _UID=0 + _SYSTEMD_UNIT=triplewide-boot.service |
  grep -E '"UNIT" ?: ?"(cloud-|triplewide-)|"MESSAGE" ?: ?"triplewide +[0-9]+s ' | grep -v 'triplewide-retry' | head -c 900000
exit 0
`;

/** What a piece of work is for. */
type Kind = "boot" | "packages" | "start";

/** A piece of work. */
export interface Span {
  what: string;
  kind: Kind;
  /** Seconds since systemd started. */
  from: number;
  /** The same; `undefined` where it has not ended. */
  to: number | undefined;
}

export interface Timeline {
  /** Machine name. */
  machine: string;
  /** When systemd started, in seconds of Unix time by the machine's own clock. */
  startedAt: number;
  spans: Span[];
  /** Seconds after which its own check first passed; with its group's gates where it was asked for them. */
  readyAfter: number | undefined;
}

interface Entry {
  MESSAGE?: unknown;
  MESSAGE_ID?: string;
  UNIT?: string;
  __REALTIME_TIMESTAMP: string;
  __MONOTONIC_TIMESTAMP: string;
}

const MICRO = 1e-6;

/**
 * Reads what the script has printed.
 *
 * @returns `undefined` where the machine has no such records.
 */
export function readTimeline(machine: string, records: string): Timeline | undefined {
  const lines = records.split("\n");
  const began = Number(/^UserspaceTimestampMonotonic=(\d+)$/m.exec(records)?.[1] ?? Number.NaN) * MICRO;
  const entries = lines.filter((line) => line.startsWith("{")).flatMap(parsed);
  const last = entries.at(-1);
  if (!last || Number.isNaN(began)) return undefined;
  const startedAt = (Number(last.__REALTIME_TIMESTAMP) - Number(last.__MONOTONIC_TIMESTAMP)) * MICRO + began;
  const at = (entry: Entry): number => Math.max(0, Number(entry.__MONOTONIC_TIMESTAMP) * MICRO - began);
  const marks = lines.flatMap((line) => {
    const [, name, seconds] = /^(\/run\/\S+) ([\d.]+)$/.exec(line) ?? [];
    return name ? [{ cluster: name.endsWith("--cluster"), after: Number(seconds) - startedAt }] : [];
  });
  const spans = [...unitSpans(entries, at), ...packageSpans(entries, at)].sort((a, b) => a.from - b.from);
  return { machine, startedAt, spans, readyAfter: (marks.find((m) => m.cluster) ?? marks[0])?.after };
}

function parsed(line: string): Entry[] {
  try {
    return [JSON.parse(line) as Entry];
  } catch {
    // The last line of records that were cut.
    return [];
  }
}

/** From when a unit was first to start until it had started: for a container that is its image, too. */
function unitSpans(entries: readonly Entry[], at: (entry: Entry) => number): Span[] {
  const spans = new Map<string, Span>();
  for (const entry of entries) {
    const unit = entry.UNIT?.replace(/\.service$/, "");
    if (!unit || !entry.MESSAGE_ID || /\.(timer|path|socket|target)$/.test(unit) || unit === "triplewide-boot")
      continue;
    const own = unit.startsWith("triplewide-");
    const what = own ? unit.slice("triplewide-".length) : unit;
    const known = spans.get(unit);
    const time = at(entry);
    if (!known)
      spans.set(unit, {
        what,
        kind: own ? "start" : "boot",
        from: time,
        to: entry.MESSAGE_ID === STARTED ? time : undefined,
      });
    else if (known.to === undefined && entry.MESSAGE_ID === STARTED) known.to = time;
  }
  return [...spans.values()];
}

/** First boot says what it installs; that lasts until it says something else. */
function packageSpans(entries: readonly Entry[], at: (entry: Entry) => number): Span[] {
  const said = entries.flatMap((entry) => {
    const [, text] = /^triplewide +\d+s (.*)$/.exec(String(entry.MESSAGE)) ?? [];
    return text === undefined ? [] : [{ text, time: at(entry) }];
  });
  return said.flatMap(({ text, time }, i) =>
    text.startsWith("installing ")
      ? [{ what: text, kind: "packages" as const, from: time, to: said[i + 1]?.time }]
      : [],
  );
}

const WIDTH = 40;
const endOf = (timeline: Timeline): number =>
  Math.max(timeline.readyAfter ?? 0, ...timeline.spans.map((s) => s.to ?? s.from), 1);
const headline = ({ machine, readyAfter }: Timeline): string =>
  `${machine}: ${readyAfter === undefined ? "not ready since its boot" : `ready ${readyAfter.toFixed(0)} s after its boot`}`;
const cut = (text: string, length: number): string => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

/** For a terminal: a line for each piece of work, with a bar from boot to ready. */
export function timelineText(timelines: readonly Timeline[]): string {
  return timelines
    .map((timeline) => {
      const scale = WIDTH / endOf(timeline);
      const lines = timeline.spans.map(({ what, from, to }) => {
        const left = Math.min(WIDTH - 1, Math.floor(from * scale));
        const length = Math.max(1, Math.round(((to ?? endOf(timeline)) - from) * scale));
        const bar = `${" ".repeat(left)}${(to === undefined ? "?" : "#").repeat(Math.min(length, WIDTH - left))}`;
        const seconds = to === undefined ? "goes on" : `${(to - from).toFixed(1)} s`;
        return `  ${from.toFixed(1).padStart(7)} s ${seconds.padStart(9)}  ${bar.padEnd(WIDTH)}  ${cut(what, 60)}`;
      });
      return `${headline(timeline)}\n${lines.join("\n")}\n`;
    })
    .join("\n");
}

const COLOURS: Readonly<Record<Kind, string>> = { boot: "#8a8f98", packages: "#d08700", start: "#2f6fdb" };
const LEGEND: Readonly<Record<Kind, string>> = {
  boot: "cloud-init",
  packages: "packages",
  start: "images and services",
};
const [ROW, LEFT, CHART] = [18, 230, 700];

/** As an SVG picture, with one axis of time for all machines: seconds since the first one's boot. */
export function timelineSvg(timelines: readonly Timeline[]): string {
  const first = Math.min(...timelines.map((t) => t.startedAt));
  const end = Math.max(...timelines.map((t) => t.startedAt - first + endOf(t)));
  const x = (seconds: number): string => (LEFT + (seconds / end) * CHART).toFixed(1);
  const out: string[] = [];
  let y = 40;
  for (const timeline of timelines) {
    const offset = timeline.startedAt - first;
    out.push(`<text x="8" y="${y + 13}" font-weight="bold">${xmlText(headline(timeline))}</text>`);
    y += ROW;
    for (const { what, kind, from, to } of timeline.spans) {
      const width = Math.max(1.5, (((to ?? endOf(timeline)) - from) / end) * CHART).toFixed(1);
      const title = `${what}: ${from.toFixed(1)} s${to === undefined ? "" : ` + ${(to - from).toFixed(1)} s`}`;
      out.push(
        `<text x="16" y="${y + 13}">${xmlText(cut(what, 34))}</text>`,
        `<rect x="${x(offset + from)}" y="${y + 3}" width="${width}" height="12" fill="${COLOURS[kind]}"><title>${xmlText(title)}</title></rect>`,
      );
      y += ROW;
    }
    if (timeline.readyAfter !== undefined) {
      const at = x(offset + timeline.readyAfter);
      const top = y - ROW * timeline.spans.length;
      out.push(`<line x1="${at}" x2="${at}" y1="${top}" y2="${y}" stroke="#1a7f37" stroke-width="2"/>`);
    }
    y += 8;
  }
  const ticks = Array.from({ length: 6 }, (_, i) => (end * i) / 5).map(
    (t) => `<text x="${x(t)}" y="34" text-anchor="middle" fill="#57606a">${t.toFixed(0)} s</text>`,
  );
  const legend = (Object.keys(COLOURS) as Kind[]).map(
    (kind, i) =>
      `<rect x="${LEFT + i * 150}" y="6" width="12" height="12" fill="${COLOURS[kind]}"/><text x="${LEFT + 16 + i * 150}" y="16">${LEGEND[kind]}</text>`,
  );
  const size = `width="${LEFT + CHART + 40}" height="${y + 8}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
${[...legend, ...ticks, ...out].join("\n")}
</svg>
`;
}
