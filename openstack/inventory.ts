import { groupOfMachine } from "../cluster/groups.ts";
import type { Cloud } from "./cloud.ts";

/** Metadata key on each server that holds the cluster's name. */
export const CLUSTER_KEY = "triplewide-cluster";
/** Metadata key on each server that holds the hash of what the machine runs. */
export const CONFIG_KEY = "triplewide-config";
/** Metadata key on each server that holds its SSH host key, as `known_hosts` has it. */
export const HOST_KEY_KEY = "triplewide-host-key";
/** Metadata key on a server that took the place of a broken one: the id of that one. */
export const REPLACES_KEY = "triplewide-replaces";

/** Metadata key on each server that holds what the config called the server's image. */
export const IMAGE_KEY = "triplewide-image";
/** Metadata key on servers that boot from a volume: the id of their image, which Nova does not know then. */
export const IMAGE_ID_KEY = "triplewide-image-id";

/** Variable by which `triplewide scale` hands the number of agents to the update that it runs. */
export const AGENTS_VARIABLE = "TRIPLEWIDE_AGENTS";

/** A machine of the cluster that the cloud holds already, or a part of one. */
export interface ExistingMachine {
  /** Absent while there is only the machine's port. */
  serverId?: string;
  /** Nova's status (`ACTIVE`, `BUILD`, `ERROR`, `SHUTOFF`, …); `MISSING`: the port is there and the server is not. */
  status: string;
  /** Hash of the configuration that the server was made with. */
  configHash?: string;
  /** SSH host key that its user data gave it; absent where an older release made it. */
  hostKey?: string;
  /** Id of the broken server that this one took the place of. */
  replaces?: string;
  /** Flavor id of the server. */
  flavorId?: string;
  /** Id of the image that the server was made from. */
  imageId?: string;
  /** What the config called that image; absent on servers of before this was kept. */
  image?: string;
  /** When the server was made, as Nova says it. */
  created?: string;
  portId?: string;
  /** What Nova says about a server in ERROR. */
  fault?: string;
}

/** Name of a machine's server and of its port. */
export function resourceName(clusterName: string, machine: string): string {
  return `${clusterName}-${machine}`;
}

/** Name of the share with the shared folder, and of its share network. */
export const shareName = (clusterName: string): string => `${clusterName}-work`;

/** Name of a machine's data volume. */
export const dataVolumeName = (clusterName: string, machine: string): string =>
  `${resourceName(clusterName, machine)}-data`;

/**
 * The machine that a server or port of this name belongs to. `undefined` where the name belongs to another
 * cluster, also one whose name begins with ours (`lab` and `lab-two`), or where no machine has such a name.
 */
export function machineOf(clusterName: string, name: string): string | undefined {
  const prefix = `${clusterName}-`;
  const machine = name.startsWith(prefix) ? name.slice(prefix.length) : "";
  return groupOfMachine(machine) ? machine : undefined;
}

interface Server {
  id: string;
  name: string;
  status: string;
  created: string;
  metadata?: Record<string, string>;
  flavor?: { id?: string };
  /** Nova sends an empty text where it boots from a volume. */
  image?: { id?: string } | null;
  fault?: { message?: string };
}

interface Port {
  id: string;
  name: string;
}

/**
 * Machines of a cluster that the cloud holds, by machine name: servers by name and metadata, ports by name.
 *
 * @throws CloudError when the cloud cannot be asked.
 */
export async function existingMachines(cloud: Cloud, clusterName: string): Promise<Map<string, ExistingMachine>> {
  const projectId = await cloud.projectId();
  const [servers, ports] = await Promise.all([
    cloud.list<Server>("compute", "/servers/detail", "servers", { name: `^${clusterName}-` }),
    // An administrator would see every project's ports.
    cloud.list<Port>("network", "/ports", "ports", { project_id: projectId, fields: ["id", "name"] }),
  ]);
  const machines = new Map<string, ExistingMachine>();
  for (const port of ports) {
    const machine = machineOf(clusterName, port.name);
    if (machine) machines.set(machine, { status: "MISSING", portId: port.id });
  }
  const ours = servers.filter(
    (server) => machineOf(clusterName, server.name) && server.metadata?.[CLUSTER_KEY] === clusterName,
  );
  const faults = await faultsOf(cloud, ours);
  // A server that is on its way out may share its name with the one that takes its place: the newest counts.
  for (const server of ours.toSorted((a, b) => a.created.localeCompare(b.created))) {
    const machine = machineOf(clusterName, server.name) ?? "";
    const { [CONFIG_KEY]: configHash, [HOST_KEY_KEY]: hostKey, [REPLACES_KEY]: replaces } = server.metadata ?? {};
    const imageId = server.image?.id ?? server.metadata?.[IMAGE_ID_KEY];
    const image = server.metadata?.[IMAGE_KEY];
    const portId = machines.get(machine)?.portId;
    const fault = faults.get(server.id);
    machines.set(machine, {
      serverId: server.id,
      status: server.status,
      ...(configHash ? { configHash } : {}),
      ...(hostKey ? { hostKey } : {}),
      ...(replaces ? { replaces } : {}),
      ...(server.flavor?.id ? { flavorId: server.flavor.id } : {}),
      ...(imageId ? { imageId } : {}),
      ...(image ? { image } : {}),
      ...(server.created ? { created: server.created } : {}),
      ...(portId ? { portId } : {}),
      ...(fault ? { fault } : {}),
    });
  }
  return machines;
}

/**
 * Why a machine's newest server is in ERROR; empty where there is none, or the cloud does not say.
 *
 * @throws CloudError when the cloud cannot be asked.
 */
export async function faultOf(cloud: Cloud, clusterName: string, machine: string): Promise<string> {
  const name = `^${resourceName(clusterName, machine)}$`;
  const servers = await cloud.list<Server>("compute", "/servers/detail", "servers", { name, status: "ERROR" });
  const ours = servers.filter((server) => server.metadata?.[CLUSTER_KEY] === clusterName);
  const newest = ours.toSorted((a, b) => a.created.localeCompare(b.created)).at(-1);
  return (newest && (await faultsOf(cloud, [newest])).get(newest.id)) ?? "";
}

/** Why servers are in ERROR, by id. Nova's list leaves it out: each has to be asked for, and the first few will do. */
async function faultsOf(cloud: Cloud, servers: readonly Server[]): Promise<Map<string, string>> {
  const broken = servers.filter((server) => server.status === "ERROR").slice(0, 20);
  const faults = new Map<string, string>();
  await Promise.all(
    broken.map(async ({ id }) => {
      // It may be gone by now.
      const found = await cloud.find<{ server: Server }>("compute", `/servers/${id}`);
      if (found?.server.fault?.message) faults.set(id, found.server.fault.message);
    }),
  );
  return faults;
}
