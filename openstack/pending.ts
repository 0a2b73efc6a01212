import type { Cloud, Service } from "./cloud.ts";
import { CLUSTER_KEY } from "./inventory.ts";

/**
 * What became of resources that were being created when an update was cut off (the machine lost power, the process was
 * killed). The engine knows only that it had begun; the cloud may hold them. Made again they would collide with
 * themselves: a port with the same address, a server on the same port.
 */

/** An operation that the engine had begun and not finished, as it stands in the state. */
export interface PendingCreate {
  urn: string;
  type: string;
  /** What was asked for; ids of other resources in it are known. */
  inputs: Readonly<Record<string, unknown>>;
}

type Candidate = { id: string } & Readonly<Record<string, unknown>>;

interface Finder {
  service: Service;
  path: string;
  /** Name of the list in the answer. */
  key: string;
  /** What narrows the list down. */
  query: (inputs: Inputs) => Record<string, string>;
  matches: (candidate: Candidate, inputs: Inputs) => boolean;
}

type Inputs = PendingCreate["inputs"];
const text = (value: unknown): string => (value === undefined || value === null ? "" : String(value));

const byName = (service: Service, path: string, key: string, nameInQuery = true): Finder => ({
  service,
  path,
  key,
  query: (inputs) => (nameInQuery ? { name: text(inputs.name) } : {}),
  matches: (candidate, inputs) => candidate.name === inputs.name,
});

const FINDERS: Readonly<Record<string, Finder>> = {
  "openstack:networking/network:Network": byName("network", "/networks", "networks"),
  "openstack:networking/subnet:Subnet": byName("network", "/subnets", "subnets"),
  "openstack:networking/router:Router": byName("network", "/routers", "routers"),
  "openstack:networking/secGroup:SecGroup": byName("network", "/security-groups", "security_groups"),
  "openstack:networking/port:Port": byName("network", "/ports", "ports"),
  "openstack:blockstorage/volume:Volume": byName("volume", "/volumes/detail", "volumes"),
  "openstack:compute/serverGroup:ServerGroup": byName("compute", "/os-server-groups", "server_groups", false),
  "openstack:sharedfilesystem/share:Share": byName("share", "/shares", "shares"),
  "openstack:sharedfilesystem/shareNetwork:ShareNetwork": byName("share", "/share-networks", "share_networks"),
  "openstack:networking/routerInterface:RouterInterface": {
    service: "network",
    path: "/ports",
    key: "ports",
    query: (inputs) => ({ device_id: text(inputs.routerId) }),
    matches: (port, inputs) =>
      ((port.fixed_ips as { subnet_id: string }[] | undefined) ?? []).some((ip) => ip.subnet_id === inputs.subnetId),
  },
  "openstack:networking/floatingIp:FloatingIp": {
    service: "network",
    path: "/floatingips",
    key: "floatingips",
    query: (inputs) => ({ port_id: text(inputs.portId) }),
    matches: (floatingIp, inputs) => floatingIp.port_id === inputs.portId,
  },
  "openstack:networking/secGroupRule:SecGroupRule": {
    service: "network",
    path: "/security-group-rules",
    key: "security_group_rules",
    query: (inputs) => ({ security_group_id: text(inputs.securityGroupId) }),
    matches: (rule, inputs) =>
      [
        [rule.direction, inputs.direction],
        [rule.ethertype, inputs.ethertype],
        [rule.protocol, inputs.protocol],
        [rule.port_range_min, inputs.portRangeMin],
        [rule.port_range_max, inputs.portRangeMax],
        [rule.remote_group_id, inputs.remoteGroupId],
        [rule.remote_ip_prefix, inputs.remoteIpPrefix],
      ].every(([there, asked]) => text(there) === text(asked)),
  },
  "openstack:compute/instance:Instance": {
    service: "compute",
    path: "/servers/detail",
    key: "servers",
    query: (inputs) => ({ name: `^${text(inputs.name)}$` }),
    matches: (server, inputs) =>
      server.name === inputs.name &&
      text((server.metadata as Record<string, string> | undefined)?.[CLUSTER_KEY]) ===
        text((inputs.metadata as Record<string, string> | undefined)?.[CLUSTER_KEY]),
  },
};

export interface Found {
  urn: string;
  /** Id in the cloud; absent where the cloud does not hold it, so that it can be made again. */
  id?: string;
  /** What has to be done by hand first. */
  todo?: string;
}

/**
 * Looks for what the cloud holds of resources whose creation was cut off.
 *
 * @throws Error where several could be meant: which one it is, only a person can say.
 */
export async function findPending(cloud: Cloud, pending: readonly PendingCreate[]): Promise<Found[]> {
  const projectId = await cloud.projectId();
  return Promise.all(
    pending.map(async ({ urn, type, inputs }): Promise<Found> => {
      if (type === "openstack:compute/keypair:Keypair") return findKeyPair(cloud, urn, text(inputs.name));
      const finder = FINDERS[type];
      if (!finder) return { urn };
      const owned: Record<string, string> = finder.service === "network" ? { project_id: projectId } : {};
      const list = await cloud.list<Candidate>(finder.service, finder.path, finder.key, {
        ...owned,
        ...finder.query(inputs),
      });
      const found = list.filter((candidate) => finder.matches(candidate, inputs));
      if (found.length > 1)
        throw new Error(`${urn}: ${found.length} could be meant (${found.map((f) => f.id).join(", ")})`);
      return found[0] ? { urn, id: found[0].id } : { urn };
    }),
  );
}

/** Nova shows a private key only when it creates the pair. If the state does not hold the key, the pair is useless. */
async function findKeyPair(cloud: Cloud, urn: string, name: string): Promise<Found> {
  if (!(await cloud.find("compute", `/os-keypairs/${encodeURIComponent(name)}`))) return { urn };
  return { urn, todo: `its private key is lost: openstack keypair delete ${name}` };
}

interface StateResource {
  urn: string;
  type: string;
  id?: string;
  inputs?: Record<string, unknown>;
  outputs?: Record<string, unknown>;
}

/** A stack's state as `pulumi stack export` prints it, as far as it matters here. */
export interface Checkpoint {
  deployment: {
    resources?: StateResource[];
    pending_operations?: { type: string; resource: StateResource }[];
  };
}

/**
 * The state with what was found as resources of its own, and nothing pending any more. What stands in a new resource is
 * what was asked for; a refresh puts in what there is.
 */
export function adopt<C extends Checkpoint>(checkpoint: C, found: readonly { urn: string; id?: string }[]): C {
  const { resources = [], pending_operations: operations = [] } = checkpoint.deployment;
  const ids = new Map(found.map(({ urn, id }) => [urn, id]));
  const adopted = operations.flatMap(({ type, resource }) => {
    const id = type === "creating" ? ids.get(resource.urn) : undefined;
    return id ? [{ ...resource, id, outputs: { ...resource.inputs, ...resource.outputs } }] : [];
  });
  return {
    ...checkpoint,
    deployment: {
      ...checkpoint.deployment,
      // Last: all that they depend on is there already, or they would not have been begun.
      resources: [...resources, ...adopted],
      pending_operations: operations.filter(({ type }) => type !== "creating"),
    },
  };
}
