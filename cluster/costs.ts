import type { Config } from "../config/schema.ts";
import { agentRange } from "./features.ts";
import { GROUPS } from "./groups.ts";
import { scaledAgents } from "./scaling.ts";
import { usesShare } from "./shared-storage.ts";
import type { Machine } from "./types.ts";

/** What a cluster costs, from the prices that the config gives. */

const HOURS = 24;

/** What machines cost by the day with their volumes; `undefined` where a flavor of theirs has no price. */
function machinesByDay(c: Config, machines: readonly Machine[]): number | undefined {
  const byHour = machines.map(({ flavor = "", volumeGb = 0, scratchGb = 0 }) => {
    const price = c.prices[flavor];
    return price === undefined
      ? undefined
      : price + (volumeGb + scratchGb + (c.bootVolumeGb ?? 0)) * (c.prices.volumeGb ?? 0);
  });
  return byHour.includes(undefined) ? undefined : HOURS * byHour.reduce<number>((sum, price = 0) => sum + price, 0);
}

/** What the cluster costs by the day; `undefined` where a flavor that it uses has no price. */
export function costByDay(c: Config, machines: readonly Machine[]): number | undefined {
  const sum = machinesByDay(c, machines);
  if (sum === undefined) return undefined;
  const address = c.bastion ? (c.prices.floatingIp ?? 0) : 0;
  const share = usesShare(c) ? c.shareGb * (c.prices.shareGb ?? 0) : 0;
  return sum + HOURS * (address + share);
}

/**
 * What it costs by the day with as few agents as there may be, and with as many; `undefined` where the config gives no range, or a flavor
 * has no price.
 */
export function costsOfRange(c: Config, machines: readonly Machine[]): { least: number; most: number } | undefined {
  const range = agentRange(c);
  const cost = costByDay(c, machines);
  const agents = scaledAgents({ machines: [...machines] });
  const each = machinesByDay(c, agents.slice(0, 1));
  if (range === undefined || cost === undefined || each === undefined) return undefined;
  const withAgents = (number: number): number => cost + (number - agents.length) * each;
  return { least: withAgents(range.min), most: withAgents(range.max) };
}

/** An amount of money in words, such as `12.30 EUR`. */
export const money = (c: Config, amount: number): string => `${amount.toFixed(2)} ${c.currency}`;

/** Flavors that the cluster uses and `prices` does not have. */
export function withoutPrice(c: Config, machines: readonly Machine[]): string[] {
  return [...new Set(machines.flatMap(({ flavor }) => flavor ?? []))].filter((name) => c.prices[name] === undefined);
}

/**
 * What the cluster costs, for a page that must not change with the number of agents: what the lasting machines cost, and each agent. Empty
 * where a price is missing.
 */
export function costInWords(c: Config, machines: readonly Machine[]): string {
  const [lasting, others] = [true, false].map((wanted) =>
    machines.filter(({ group }) => GROUPS[group].lasting === wanted),
  );
  const base = costByDay(c, lasting ?? []);
  const kinds = [...Map.groupBy(others ?? [], ({ group, subgroup }) => (subgroup ? `${group} of ${subgroup}` : group))];
  const each = kinds.map(([kind, members]) => ({ kind, cost: machinesByDay(c, members.slice(0, 1)) }));
  if (base === undefined || each.some(({ cost }) => cost === undefined)) return "";
  return [`${money(c, base)} a day`, ...each.map(({ kind, cost = 0 }) => `each ${kind} ${money(c, cost)}`)].join(", ");
}
