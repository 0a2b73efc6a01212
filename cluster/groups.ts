import type { Config, ConfigKey } from "../config/schema.ts";
import { agentGroupNames, configOfAgents, firstOffset } from "./agent-groups.ts";
import { architectureOf, hasMesos } from "./architectures/index.ts";
import { hasRegistry, hasStandbyNamenode, runsHdfs } from "./features.ts";
import { platformOf } from "./platforms.ts";
import type { Group, Machine, Role } from "./types.ts";

/** JournalNodes of a highly available HDFS: a majority of three survives the loss of one. */
const JOURNALNODES = 3;

/** Where a group's addresses lie in the cluster's network. */
export type AddressBlock =
  /** Counted up from an offset. */
  | { from: "start"; offset: number }
  /** Counted down from the last address but one, so that no block limits another. */
  | { from: "end" };

/** A part of a group with a size of its own. Its machines have the group's roles, firewall and secrets. */
export interface Subgroup {
  /** Unique within the group: its machines are `<group>-<name>-1`, … */
  name: string;
  /** Numbers of its machines, from 1. */
  numbers: number[];
  /** The config as these machines see it. */
  config: Config;
  /** Where its addresses begin in the network. */
  offset: number;
}

/** Everything that is known of a group of machines. The order of the records is the one in which groups are replaced. */
export interface GroupRecord {
  /** `one`: a single machine with the group's own name; `several`: `agent-1`, `agent-2`, … */
  names: "one" | "several";
  /** A fixed block for each group, so that one machine more or less never moves another. */
  addresses: AddressBlock;
  /** Numbers of its machines, from 1. */
  numbers: (c: Config) => number[];
  /** Machines of the group that are not like its others. @default they all are alike */
  subgroups?: (c: Config) => Subgroup[];
  /** What the machine of that number runs. */
  roles: (c: Config, number: number) => Role[];
  /** Config keys that name its flavor; the first that is set counts. */
  flavorKeys: readonly (ConfigKey & `${string}Flavor`)[];
  /** Config key of the memory, in MiB, that each of its machines offers to tasks. @default it runs no tasks */
  offeredMemoryKey?: ConfigKey & `${string}MemoryMiB`;
  /** Config key of the size of its data volume. @default it keeps nothing */
  volumeKey?: ConfigKey & `${string}VolumeGb`;
  /** Config key of the size of a volume for what is worth nothing without its machine. @default its own disk holds that */
  scratchKey?: ConfigKey & `${string}scratchGb`;
  /**
   * How its machines keep off each other's hypervisors. `quorum`: as `antiAffinity` says; `soft`: as far as there is room;
   * `none`: it has one machine.
   */
  spread: "quorum" | "soft" | "none";
  /** Machines that are replaced at the same time. */
  batch: (c: Config) => number;
  /**
   * Whether all others must be healthy before one more is replaced. Not so for agents: they keep no state, so replacing one while another
   * is unhealthy loses nothing.
   */
  replacedOnlyWhenHealthy: boolean;
  /** Whether its machines stay as long as the cluster does, so that others may know them by name. */
  lasting: boolean;
  /** Whether people reach all other machines through it, by SSH. Where there is one, no other machine takes SSH from outside. */
  jumpHost: boolean;
  /** Whether people open its first machine's pages: published by Docker, forwarded by SSH. */
  pagesFor: "people" | "nobody";
  /** Whether its gates are asked after all others, and after Marathon's apps: it sees what they made possible. */
  gatedLast: boolean;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);
const onlyWhere = (condition: boolean): number[] => (condition ? [1] : []);

/** Whether a machine with the role keeps state that must outlive it. */
const KEEPS_STATE: Readonly<Record<Role, boolean>> = {
  bastion: false,
  client: true,
  registry: true,
  zookeeper: true,
  "mesos-master": true,
  "mesos-agent": false,
  "spark-master": false,
  "spark-worker": false,
  marathon: false,
  namenode: true,
  journalnode: true,
  datanode: true,
};

/** Offset of the first agent's address; what lies below is for every other group but the datanodes. */
export const FIRST_AGENT_OFFSET = 64;

/** Every group. The order is the one in which groups have their machines replaced. */
export const GROUPS: Readonly<Record<Group, GroupRecord>> = {
  bastion: {
    names: "one",
    addresses: { from: "start", offset: 10 },
    numbers: (c) => onlyWhere(platformOf(c).servers && c.bastion),
    roles: () => ["bastion"],
    flavorKeys: ["bastionFlavor", "masterFlavor"],
    spread: "none",
    batch: () => 1,
    replacedOnlyWhenHealthy: true,
    lasting: true,
    jumpHost: true,
    pagesFor: "nobody",
    gatedLast: false,
  },
  registry: {
    names: "one",
    addresses: { from: "start", offset: 12 },
    numbers: (c) => onlyWhere(hasRegistry(c)),
    roles: () => ["registry"],
    flavorKeys: ["masterFlavor"],
    volumeKey: "registryVolumeGb",
    spread: "none",
    batch: () => 1,
    replacedOnlyWhenHealthy: true,
    lasting: true,
    jumpHost: false,
    pagesFor: "nobody",
    gatedLast: false,
  },
  zookeeper: {
    names: "several",
    addresses: { from: "start", offset: 32 },
    numbers: (c) => (c.zookeeperPlacement === "own" ? upTo(zookeeperMembers(c)) : []),
    roles: () => ["zookeeper"],
    flavorKeys: ["masterFlavor"],
    volumeKey: "masterVolumeGb",
    spread: "quorum",
    batch: () => 1,
    replacedOnlyWhenHealthy: true,
    lasting: true,
    jumpHost: false,
    pagesFor: "nobody",
    gatedLast: false,
  },
  master: {
    names: "several",
    addresses: { from: "start", offset: 16 },
    numbers: (c) => upTo(c.masterCount),
    roles: (c, number) => [
      ...(c.zookeeperPlacement === "masters" && number <= zookeeperMembers(c) ? (["zookeeper"] as const) : []),
      ...architectureOf(c).masterRoles,
      ...(hasStandbyNamenode(c) && number <= JOURNALNODES ? (["journalnode"] as const) : []),
      ...(runsHdfs(c) && number <= c.namenodeCount ? (["namenode"] as const) : []),
    ],
    flavorKeys: ["masterFlavor"],
    volumeKey: "masterVolumeGb",
    spread: "quorum",
    batch: () => 1,
    replacedOnlyWhenHealthy: true,
    lasting: true,
    jumpHost: false,
    pagesFor: "people",
    gatedLast: false,
  },
  datanode: {
    names: "several",
    addresses: { from: "end" },
    numbers: (c) => upTo(c.datanodeCount),
    roles: () => ["datanode"],
    flavorKeys: ["agentFlavor", "masterFlavor"],
    volumeKey: "datanodeVolumeGb",
    spread: "soft",
    batch: () => 1,
    replacedOnlyWhenHealthy: true,
    lasting: false,
    jumpHost: false,
    pagesFor: "nobody",
    gatedLast: false,
  },
  agent: {
    names: "several",
    addresses: { from: "start", offset: FIRST_AGENT_OFFSET },
    numbers: (c) => agentNumbers(c),
    subgroups: (c) =>
      agentGroupNames(c).map((name) => {
        const config = configOfAgents(c, name);
        return { name, config, numbers: agentNumbers(config, name), offset: firstOffset(c, name) };
      }),
    roles: (c) => [...architectureOf(c).agentRoles],
    flavorKeys: ["agentFlavor", "masterFlavor"],
    offeredMemoryKey: "agentMemoryMiB",
    scratchKey: "scratchGb",
    spread: "soft",
    batch: (c) => c.agentBatchSize,
    replacedOnlyWhenHealthy: false,
    lasting: false,
    jumpHost: false,
    pagesFor: "nobody",
    gatedLast: false,
  },
  client: {
    names: "one",
    addresses: { from: "start", offset: 11 },
    numbers: () => [1],
    roles: () => ["client"],
    flavorKeys: ["clientFlavor", "masterFlavor"],
    volumeKey: "clientVolumeGb",
    spread: "none",
    batch: () => 1,
    replacedOnlyWhenHealthy: true,
    lasting: true,
    jumpHost: false,
    pagesFor: "people",
    gatedLast: true,
  },
};

/** The first numbers that were not taken out by name. @param subgroup Group of agents that they are of. */
export function agentNumbers(c: Pick<Config, "agentCount" | "removedAgents">, subgroup?: string): number[] {
  const removed = new Set(c.removedAgents);
  const numbers: number[] = [];
  for (let n = 1; numbers.length < c.agentCount; n++) {
    if (!removed.has(machineName("agent", n, subgroup))) numbers.push(n);
  }
  return numbers;
}

/** The highest of these numbers; 0 where there is no agent. */
export const lastAgent = (c: Pick<Config, "agentCount" | "removedAgents">, subgroup?: string): number =>
  agentNumbers(c, subgroup).at(-1) ?? 0;

/** Whether people open pages of that machine: the first one of some groups. */
export const isForPeople = (machine: Pick<Machine, "group" | "number"> | undefined): boolean =>
  machine?.number === 1 && GROUPS[machine.group].pagesFor === "people";

/** Every group, in the order in which groups have their machines replaced: each after those that it depends on. */
export const GROUP_NAMES = Object.keys(GROUPS) as Group[];

/** Whether a machine with these roles keeps state that must outlive it. */
export const keepsState = (roles: readonly Role[]): boolean => roles.some((role) => KEEPS_STATE[role]);

/** ZooKeeper members: derived unless configured. */
export function zookeeperMembers(c: Config): number {
  if (c.zookeeperCount !== undefined) return c.zookeeperCount;
  if (!hasMesos(c) && c.masterCount === 1 && c.namenodeCount === 1) return 0;
  return c.masterCount === 1 ? 1 : 3;
}

/** Name of a machine, such as `agent-7` or `client`. */
export const machineName = (group: Group, number: number, subgroup?: string): string =>
  GROUPS[group].names === "one" ? group : [group, subgroup, number].filter((part) => part !== undefined).join("-");

/** The group that a machine of that name is in; `undefined` where no group names a machine so. */
export function groupOfMachine(name: string): Group | undefined {
  return GROUP_NAMES.find((group) =>
    GROUPS[group].names === "one"
      ? name === group
      : name.startsWith(`${group}-`) && isNumbered(group, name.slice(group.length + 1)),
  );
}

/** Whether the rest of a machine's name is its number, after the name of its subgroup where the group has those. */
function isNumbered(group: Group, rest: string): boolean {
  const [, subgroup, number] = /^(?:([a-z][a-z0-9]*)-)?([1-9][0-9]*)$/.exec(rest) ?? [];
  if (number === undefined) return false;
  return subgroup === undefined || (GROUPS[group].subgroups !== undefined && !Object.hasOwn(GROUPS, subgroup));
}

/** Config key that a group's flavor is set by: the first of its keys that has a value. */
export function flavorKey(c: Config, group: Group): ConfigKey & `${string}Flavor` {
  const keys = GROUPS[group].flavorKeys;
  return keys.find((key) => c[key] !== undefined) ?? keys[0] ?? "masterFlavor";
}
