import { GROUPS } from "../cluster/groups.ts";
import type { Cluster, Machine } from "../cluster/types.ts";

/** Machines that the cloud keeps on different hypervisors. */
export interface ServerGroup {
  /** Unique within the cluster, such as `master` or `agent-2`. */
  name: string;
  policy: "anti-affinity" | "soft-anti-affinity";
  /** Machine names. */
  members: string[];
}

/**
 * Nova's usual limit on the members of one server group (`server_group_members`). Agents and datanodes are spread in
 * groups of this size; the masters of a quorum always fit into one.
 */
const MEMBERS = 10;

/**
 * The server groups of a cluster. The server group of a machine follows from its number alone, because changing it would
 * replace the machine: adding or removing agents changes no other machine.
 */
export function serverGroups(cluster: Pick<Cluster, "machines" | "config">): ServerGroup[] {
  const { antiAffinity } = cluster.config;
  if (antiAffinity === "none") return [];
  const groups: ServerGroup[] = [];
  for (const [group, machines] of Map.groupBy(cluster.machines, (m) => m.group)) {
    if (GROUPS[group].spread === "quorum") {
      const policy = antiAffinity === "hard" ? "anti-affinity" : "soft-anti-affinity";
      if (machines.length > 1) groups.push({ name: group, policy, members: machines.map((m) => m.name) });
    } else if (GROUPS[group].spread === "soft") {
      const blockOf = ({ subgroup, number }: Machine): string =>
        [subgroup, Math.ceil(number / MEMBERS)].filter((part) => part !== undefined).join("-");
      for (const [block, members] of Map.groupBy(machines, blockOf)) {
        const names = members.map((m) => m.name);
        groups.push({ name: `${group}-${block}`, policy: "soft-anti-affinity", members: names });
      }
    }
  }
  return groups;
}
