import type { Group } from "./types.ts";

/** How machines are named. What the cloud holds is recognised by these names, so each name leads back to its group. */

/** Whether a group is one machine, which has the group's name, or several, which have numbers. */
const NAMING: Readonly<Record<Group, "alone" | "numbered">> = {
  bastion: "alone",
  client: "alone",
  registry: "alone",
  master: "numbered",
  zookeeper: "numbered",
  agent: "numbered",
  datanode: "numbered",
};

/** Every group of machines that a cluster may have. */
export const GROUPS = Object.keys(NAMING) as readonly Group[];

/**
 * Name of a machine, unique within its cluster: `client`, `agent-7`.
 *
 * @param number Number within the group, from 1.
 */
export function machineName(group: Group, number: number): string {
  return NAMING[group] === "alone" ? group : `${group}-${number}`;
}

/** The group that a machine of this name belongs to; `undefined` where no machine can have this name. */
export function groupOfMachine(name: string): Group | undefined {
  return GROUPS.find((group) => {
    if (NAMING[group] === "alone") return name === group;
    return name.startsWith(`${group}-`) && /^[1-9][0-9]*$/.test(name.slice(group.length + 1));
  });
}
