import { hasMesos, hasRegistry, hasSparkMaster, runsHdfs, zookeeperMembers } from "../config/ports.ts";
import type { Config } from "../config/schema.ts";
import { addressPlan } from "./addresses.ts";
import { machineName } from "./machine-names.ts";
import type { Group, Machine, Role } from "./types.ts";

/** JournalNodes of a highly available HDFS: a majority of three survives the loss of one. */
const JOURNALNODES = 3;

/** Decides the machines: how many of each group, what they are, where they lie. */
export function placeMachines(c: Config): Machine[] {
  const address = addressPlan(c.networkCidr);
  const openstack = c.platform === "openstack";
  const zookeepers = zookeeperMembers(c);
  const ownZookeeper = c.zookeeperPlacement === "own";
  const zones = c.availabilityZones;

  const machine = (group: Group, number: number, roles: Role[], flavor: string, volumeGb: number): Machine => ({
    name: machineName(group, number),
    group,
    number,
    roles,
    address: address(group, number),
    flavor: openstack ? flavor || c.masterFlavor : "",
    volumeGb: openstack && c.dataVolumes ? volumeGb : 0,
    availabilityZone: zones[(number - 1) % zones.length] ?? "",
  });

  const masterRoles = (number: number): Role[] => [
    ...(!ownZookeeper && number <= zookeepers ? (["zookeeper"] as const) : []),
    ...(hasMesos(c) ? (["mesos-master"] as const) : (["spark-master"] as const)),
    ...(c.architecture === "marathon-standalone" ? (["marathon"] as const) : []),
    ...(runsHdfs(c) && c.namenodeCount === 2 && number <= JOURNALNODES ? (["journalnode"] as const) : []),
    ...(runsHdfs(c) && number <= c.namenodeCount ? (["namenode"] as const) : []),
  ];
  const agentRoles: Role[] = [
    ...(hasMesos(c) ? (["mesos-agent"] as const) : []),
    ...(hasSparkMaster(c) && !hasMesos(c) ? (["spark-worker"] as const) : []),
  ];

  const machines: Machine[] = [];
  if (openstack && c.bastion) machines.push(machine("bastion", 1, ["bastion"], c.bastionFlavor, 0));
  if (hasRegistry(c)) machines.push(machine("registry", 1, ["registry"], "", c.registryVolumeGb));
  for (let n = 1; n <= c.masterCount; n++) {
    const roles = masterRoles(n);
    const stateful = roles.some((r) => r !== "spark-master" && r !== "marathon");
    machines.push(machine("master", n, roles, c.masterFlavor, stateful ? c.masterVolumeGb : 0));
  }
  if (ownZookeeper) {
    for (let n = 1; n <= zookeepers; n++) machines.push(machine("zookeeper", n, ["zookeeper"], "", c.masterVolumeGb));
  }
  for (let n = 1; n <= c.datanodeCount; n++) {
    machines.push(machine("datanode", n, ["datanode"], c.agentFlavor, c.datanodeVolumeGb));
  }
  for (const n of agentNumbers(c)) machines.push(machine("agent", n, agentRoles, c.agentFlavor, 0));
  machines.push(machine("client", 1, ["client"], c.clientFlavor, c.clientVolumeGb));
  return machines;
}

/** The first `agentCount` numbers that were not taken out by name. */
export function agentNumbers(c: Pick<Config, "agentCount" | "removedAgents">): number[] {
  const removed = new Set(c.removedAgents);
  const numbers: number[] = [];
  for (let n = 1; numbers.length < c.agentCount; n++) {
    if (!removed.has(machineName("agent", n))) numbers.push(n);
  }
  return numbers;
}

export function withRole(machines: readonly Machine[], role: Role): Machine[] {
  return machines.filter((m) => m.roles.includes(role));
}
