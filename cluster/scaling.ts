import type { Config } from "../config/schema.ts";
import type { Refuse } from "./architectures/record.ts";
import { agentRange } from "./features.ts";
import { agentNumbers, GROUPS, machineName } from "./groups.ts";
import type { Cluster, Machine } from "./types.ts";

/**
 * How many agents there are where the config gives a range and not a number: at an `up`, and as `triplewide scale` wants it. Pure:
 * time and what runs are given.
 */

type Range = Pick<Config, "agentsMin" | "agentsMax">;
type Numbered = Pick<Config, "agentCount" | "removedAgents">;

/** The most agents of no group that the cluster may have. */
export const mostAgents = (c: Range & Numbered): number => Math.max(c.agentCount, c.agentsMax ?? 0);

/** Machines that run tasks and are of no subgroup: those of `agentGroups` are not scaled. */
export const scaledAgents = ({ machines }: Pick<Cluster, "machines">): Machine[] =>
  machines.filter(({ group, subgroup }) => GROUPS[group].offeredMemoryKey !== undefined && subgroup === undefined);

/** The config of a cluster that has so many agents. */
export const withAgents = (c: Config, agentCount: number): Config => ({ ...c, agentCount });

/**
 * How many agents there have to be so that none of these machines goes: up to the highest of their numbers, whether or not one
 * below it is missing.
 *
 * @param machines Names of machines that there are, of whatever group.
 */
export function agentsAmong({ removedAgents }: Pick<Config, "removedAgents">, machines: Iterable<string>): number {
  const removed = new Set(removedAgents);
  const stays = [...machines].filter((name) => /^agent-[1-9][0-9]*$/.test(name) && !removed.has(name));
  const highest = Math.max(0, ...stays.map((name) => Number(name.slice("agent-".length))));
  return Array.from({ length: highest }, (_, i) => machineName("agent", i + 1)).filter((name) => !removed.has(name))
    .length;
}

/**
 * Agents after an `up` that nobody has told a number: those that there are, so that it ends nothing which runs. Fewer than `agentsMin`
 * it makes more; more than `agentsMax` are left to `triplewide scale`, which looks what runs on them.
 */
export function agentsAtUp(c: Config, machines: Iterable<string>): number {
  const range = agentRange(c);
  const there = agentsAmong(c, machines);
  return range === undefined || there === 0 ? c.agentCount : Math.max(there, range.min);
}

/** What an agent does: why it must stay, or for how many minutes nothing has run on it; or what is wrong with it, so that it does nothing. */
export type AgentUse = { stays: string } | { idleMinutes: number } | { broken: string };

/**
 * Why an agent stays on which nothing runs: nobody knows which job its shuffle files belong to. Files of sessions that are idle do not
 * count: these make them again when they go on.
 */
export const SHUFFLES_STAY = "it has shuffle files, and jobs run that may read them";

/** What the masters say of the cluster. */
export interface Load {
  /** By the agent's name; an agent that is missing here is one that the masters do not know. */
  agents: ReadonlyMap<string, AgentUse>;
  /** Agents that would take what jobs wait for. */
  lacking: number;
  /** Names of agents that get nothing new: they were to go. */
  leaving: readonly string[];
}

/** Cores, and MiB of memory. */
export interface Room {
  cores: number;
  memoryMiB: number;
}

/** What a job waits for. */
export interface Waiting {
  /** Executors that it would have beside those that it has. */
  executors: number;
  /** What one of them takes. */
  each: Room;
  /** What agents have left that it could be given. */
  free: readonly Room[];
}

/** What a driver would have, as far as it says so. */
export interface Demand {
  /** Executors that there is work for; infinitely many where the session takes what it gets. */
  executors: number;
  /** Cores that it may have. */
  coresMax: number;
  /** Cores of one executor; `undefined` where one takes all that an agent has. */
  executorCores: number | undefined;
  /** MiB of one executor, with what it takes beside its heap. */
  executorMiB: number;
  /** Attributes that agents must have for its executors, by name: one of these values, or any where there is none. */
  attributes: ReadonlyMap<string, readonly string[]>;
}

const executorsIn = (room: Room, each: Room): number =>
  Math.max(0, Math.min(Math.floor(room.cores / each.cores), Math.floor(room.memoryMiB / each.memoryMiB)));

/**
 * Agents that would take what jobs wait for and no agent has room for; `agentsMax` of them at most.
 *
 * @param empty What an agent has on which nothing runs; `undefined` where that is not known.
 */
export function lackingAgents(
  c: Pick<Config, "agentsMax" | "agentCount">,
  jobs: readonly Waiting[],
  empty: Room | undefined,
): number {
  const lacking = jobs.map(({ executors, each, free }) => {
    // Room that a job is not given is of no use to it: it waits for something else, such as a GPU.
    const waiting = executors - free.reduce((sum, room) => sum + executorsIn(room, each), 0);
    const agents = Math.ceil(waiting / Math.max(1, empty ? executorsIn(empty, each) : 1));
    // Jobs say of themselves what they want: it may be no number, or an executor of nothing, and then counts for nothing.
    return agents >= 1 ? agents : 0;
  });
  return Math.min(
    c.agentsMax ?? c.agentCount,
    lacking.reduce((sum, agents) => sum + agents, 0),
  );
}

/** How many agents there should be, and why. */
export interface Wanted {
  agents: number;
  /** One sentence for each thing that counted. */
  reasons: string[];
}

const UNKNOWN: AgentUse = { stays: "the masters do not know it: it is starting, or ill" };

/**
 * How many agents a cluster should have. Within `agentsMin` and `agentsMax`, and never fewer than it takes to keep every agent that has
 * to stay: agents go from the highest number down.
 *
 * @param c A config with a range; its `agentCount` is the number that there are.
 * @param now In whatever zone; `hours` are in the config's.
 */
export function wantedAgents(c: Config, now: Date, load: Load): Wanted {
  const range = agentRange(c);
  if (range === undefined) throw new Error("the config gives no range of agents");
  const present = c.agentCount;
  const names = agentNumbers(c).map((number) => machineName("agent", number));
  const broken = names.flatMap((name) => {
    const use = load.agents.get(name);
    return use && "broken" in use ? [`${name} ${use.broken}`] : [];
  });
  const whyStays = (name: string): string | undefined => {
    const use = load.agents.get(name) ?? UNKNOWN;
    if ("stays" in use) return use.stays;
    if ("broken" in use) return undefined;
    if (use.idleMinutes >= c.idleMinutes) return undefined;
    return `something ran on it ${Math.floor(use.idleMinutes)} min ago, less than idleMinutes (${c.idleMinutes})`;
  };
  const kept = names.findLastIndex((name) => whyStays(name) !== undefined) + 1;
  const { least, because } = leastAgents(c, now, range.min);
  const asked = load.lacking > 0 ? present - broken.length + load.lacking : 0;
  const agents = Math.max(kept, Math.min(range.max, Math.max(least, asked)));

  const reasons: string[] = [...broken];
  if (load.lacking > 0) reasons.push(`jobs wait for executors that ${counted(load.lacking)} more would take`);
  if (agents === range.max && asked > range.max) reasons.push(`agentsMax is ${range.max}`);
  const last = names[kept - 1];
  if (agents === kept && last !== undefined && agents > least) reasons.push(`${last} stays: ${whyStays(last)}`);
  if (agents === least && asked <= least) reasons.push(because);
  const going = names.slice(agents).filter((name) => !("broken" in (load.agents.get(name) ?? UNKNOWN)));
  if (going.length > 0) reasons.push(`${going.join(", ")}: nothing has run there for idleMinutes (${c.idleMinutes})`);
  return { agents, reasons };
}

/** A number of agents in words. */
export const counted = (agents: number): string => `${agents} agent${agents === 1 ? "" : "s"}`;

/** The least number of agents at a time, and what says so. */
function leastAgents(
  c: Pick<Config, "hours" | "timeZone">,
  now: Date,
  min: number,
): { least: number; because: string } {
  const clock = clockIn(c.timeZone, now);
  const holding = Object.entries(c.hours).filter(([text, number]) => number > min && isWithin(text, clock));
  const [text, least] = holding.toSorted(([, a], [, b]) => b - a)[0] ?? [];
  return text === undefined || least === undefined
    ? { least: min, because: `agentsMin is ${min}` }
    : { least, because: `hours: ${least} at "${text}" (it is ${clock.shown} in ${c.timeZone})` };
}

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MINUTES = 60;

/** What clocks show. */
interface Clock {
  /** From Monday, 0. */
  day: number;
  /** Since midnight, as the clock shows it. */
  minute: number;
  shown: string;
}

/** What clocks of a zone show at a time. @throws RangeError where there is no such zone. */
function clockIn(timeZone: string, now: Date): Clock {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone,
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  const part = (type: Intl.DateTimeFormatPartTypes): string =>
    format.formatToParts(now).find((p) => p.type === type)?.value ?? "";
  const [weekday, hour, minute] = [part("weekday"), part("hour"), part("minute")];
  return {
    day: DAYS.indexOf(weekday),
    minute: MINUTES * Number(hour) + Number(minute),
    shown: `${weekday} ${hour}:${minute}`,
  };
}

/** Whether a clock shows a time of an entry of `hours`; hours that end before they begin end on the day after. */
function isWithin(text: string, { day, minute }: Clock): boolean {
  const [days = "", hours = ""] = text.split(" ");
  const [from = 0, to = 0] = hours.split("-").map((clock) => {
    const [hour, rest] = clock.split(":").map(Number);
    return MINUTES * (hour ?? 0) + (rest ?? 0);
  });
  const on = daysOf(days);
  if (from < to) return on.has(day) && from <= minute && minute < to;
  return (on.has(day) && from <= minute) || (on.has((day + 6) % 7) && minute < to);
}

/** Days by number: `Fri-Mon` is four of them. */
function daysOf(text: string): Set<number> {
  if (text === "daily") return new Set(DAYS.keys());
  const days = new Set<number>();
  for (const part of text.split(",")) {
    const [first = 0, last = first] = part.split("-").map((name) => DAYS.indexOf(name));
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return days;
}

/** Rules of the keys that give a range. */
export function scalingRules(c: Config, refuse: Refuse): void {
  if ((c.agentsMin === undefined) !== (c.agentsMax === undefined)) {
    const missing = c.agentsMin === undefined ? "agentsMin" : "agentsMax";
    refuse(missing, "set together with its twin", "give both agentsMin and agentsMax, or neither");
  }
  const range = agentRange(c);
  const times = Object.entries(c.hours);
  if (range === undefined) {
    if (times.length > 0 && c.agentsMin === c.agentsMax)
      refuse("hours", "empty without agentsMin and agentsMax", "set both, or remove it");
    return;
  }
  const { min, max } = range;
  if (min > max) refuse("agentsMin", `at most agentsMax (${max})`, "lower it, or raise agentsMax");
  else {
    const rule = `from agentsMin (${min}) to agentsMax (${max})`;
    if (c.agentCount < min || c.agentCount > max)
      refuse("agentCount", `${rule}: it is what a first up makes`, `set it to ${c.agentCount < min ? min : max}`);
    for (const [text, least] of times)
      if (least < min || least > max) refuse("hours", rule, "change the number of agents", `${text}: ${least}`);
  }
}
