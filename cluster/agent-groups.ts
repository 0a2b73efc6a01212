import { Address4 } from "ip-address";
import type { Config } from "../config/schema.ts";

/**
 * Further groups of agents, beside the `agentCount` that are alike. Nothing of one follows from another: adding or taking away
 * a group changes no machine of the others.
 */

type Groups = Pick<Config, "agentGroups">;

/** Names of the groups, in the same order whatever the config's is. */
export const agentGroupNames = (c: Groups): string[] => Object.keys(c.agentGroups).sort();

/** Mesos attribute of the agents of a group, with its name. */
export const GROUP_ATTRIBUTE = "group";

/**
 * The config as agents of a group see it: their size and attributes instead of the others'.
 *
 * @param name Name of the group; `undefined` for agents of none.
 */
export function configOfAgents(c: Config, name: string | undefined): Config {
  const group = name === undefined ? undefined : c.agentGroups[name];
  if (name === undefined || group === undefined) return c;
  return {
    ...c,
    agentCount: group.count,
    agentFlavor: group.flavor ?? c.agentFlavor,
    // A group with a flavor of its own does not take over the other agents' size.
    agentCpus: group.cpus ?? (group.flavor === undefined ? c.agentCpus : undefined),
    agentMemoryMiB: group.memoryMiB ?? (group.flavor === undefined ? c.agentMemoryMiB : undefined),
    mesosAttributes: { ...c.mesosAttributes, ...group.attributes, [GROUP_ATTRIBUTE]: name },
  };
}

/** Devices of each agent of a group: its GPUs in their order, and all that its containers get. */
export function devicesOf(
  c: Groups,
  name: string | undefined,
): { gpus: readonly string[]; devices: readonly string[] } {
  const { gpus = [], devices = [] } = (name === undefined ? undefined : c.agentGroups[name]) ?? {};
  return { gpus, devices: [...gpus, ...devices] };
}

/** The config as each kind of agent sees it: those of no group first. */
export const agentConfigs = (c: Config): { name: string | undefined; config: Config }[] =>
  [undefined, ...agentGroupNames(c)].map((name) => ({ name, config: configOfAgents(c, name) }));

/** All agents. */
export const totalAgents = (c: Pick<Config, "agentCount" | "agentGroups">): number =>
  Object.values(c.agentGroups).reduce((sum, { count }) => sum + count, c.agentCount);

/** The team that the agents of a group are kept for; none where they are everybody's. */
export const teamOf = (c: Groups, name: string | undefined): string | undefined =>
  name === undefined ? undefined : c.agentGroups[name]?.team;

/**
 * Cores, say, of all agents, where the config tells those of each; `undefined` where it does not.
 *
 * @param kept Which agents count, by the team that they are kept for. @default all
 */
export const totalOf = (
  c: Config,
  size: (config: Config) => number | undefined,
  kept: (team: string | undefined) => boolean = () => true,
): number | undefined =>
  agentConfigs(c).reduce<number | undefined>((sum, { name, config }) => {
    if (!kept(teamOf(c, name))) return sum;
    const each = size(config);
    return sum === undefined || each === undefined ? undefined : sum + each * config.agentCount;
  }, 0);

/** Blocks of addresses that groups lie in, each a sixty-fourth of the network. They begin in its middle. */
export const BLOCKS = 16;

/** Size of one block, and where the first begins. */
export function blocks(networkCidr: string): { size: number; first: number } {
  const addresses = 2 ** (32 - new Address4(networkCidr).subnetMask);
  return { size: Math.floor(addresses / 64), first: addresses / 2 };
}

/** The block of a group: as the config says, else by its name, so that no other group moves it. */
export function blockOf(c: Groups, name: string): number {
  const given = c.agentGroups[name]?.addressBlock;
  if (given !== undefined) return given;
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + letter.charCodeAt(0)) % 65521;
  return (hash % BLOCKS) + 1;
}

/** Offset in the network of the first agent of a group. */
export function firstOffset(c: Pick<Config, "agentGroups" | "networkCidr">, name: string): number {
  const { size, first } = blocks(c.networkCidr);
  return first + (blockOf(c, name) - 1) * size;
}
