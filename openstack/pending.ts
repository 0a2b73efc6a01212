import { UserError } from "../lib/errors.ts";
import type { Service } from "./catalog.ts";
import type { Cloud } from "./cloud.ts";
import { CLUSTER_KEY } from "./inventory.ts";

/**
 * What became of resources that were being created when an update was cut off (the machine lost power, the process was killed). The engine
 * knows only that it had begun; the cloud may hold them. A second one would collide with the first: a port with the same address, a server
 * on the same port.
 */

/** An operation that the engine had begun and not finished, as it stands in the state. */
export interface PendingCreate {
  urn: string;
  type: string;
  /** What was asked for; ids of other resources in it are known. */
  inputs?: Readonly<Record<string, unknown>>;
}

type Candidate = { id: string } & Readonly<Record<string, unknown>>;

interface Finder {
  service: Service;
  path: string | ((inputs: Inputs) => string);
  /** Name of the list in the answer. */
  key: string;
  /** Inputs by which it is found: where one of them is not known yet, the cloud cannot have it. */
  by: readonly string[];
  /** What narrows the list down. */
  query: (inputs: Inputs) => Record<string, string>;
  matches: (candidate: Candidate, inputs: Inputs) => boolean;
  /** What Pulumi knows it by. @default its id */
  idOf?: (candidate: Candidate, inputs: Inputs) => string;
  /**
   * Whether nothing uses it, where the cloud may have several that are alike: any one of them will do then, and the others are twins.
   *
   * @default of several, only a person can say which one is meant
   */
  unused?: (candidate: Candidate) => boolean;
}

type Inputs = NonNullable<PendingCreate["inputs"]>;
const text = (value: unknown): string => (value === undefined || value === null ? "" : String(value));

const byName = (service: Service, path: Finder["path"], key: string, nameInQuery = true): Finder => ({
  service,
  path,
  key,
  by: ["name"],
  query: (inputs) => (nameInQuery ? { name: text(inputs.name) } : {}),
  matches: (candidate, inputs) => candidate.name === inputs.name,
});

const KEY_PAIR = "openstack:compute/keypair:Keypair";
/** A key for the S3 interface. It has no name: nothing in the cloud says who asked for it. */
export const ACCESS_KEY = "openstack:identity/ec2CredentialV3:Ec2CredentialV3";

const policyOf = ({ policies }: Inputs): string => text((policies as string[] | undefined)?.[0]);

const FINDERS: Readonly<Record<string, Finder>> = {
  "openstack:networking/network:Network": byName("network", "/networks", "networks"),
  "openstack:networking/subnet:Subnet": byName("network", "/subnets", "subnets"),
  "openstack:networking/router:Router": byName("network", "/routers", "routers"),
  "openstack:networking/secGroup:SecGroup": byName("network", "/security-groups", "security_groups"),
  "openstack:networking/port:Port": byName("network", "/ports", "ports"),
  "openstack:blockstorage/volume:Volume": byName("volume", "/volumes/detail", "volumes"),
  "openstack:sharedfilesystem/share:Share": byName("share", "/shares", "shares"),
  "openstack:sharedfilesystem/shareNetwork:ShareNetwork": byName("share", "/share-networks", "share_networks"),
  "openstack:sharedfilesystem/shareAccess:ShareAccess": {
    service: "share",
    path: "/share-access-rules",
    key: "access_list",
    by: ["shareId"],
    query: (inputs) => ({ share_id: text(inputs.shareId) }),
    matches: (rule, inputs) => rule.access_type === inputs.accessType && rule.access_to === inputs.accessTo,
  },
  "openstack:dns/recordSet:RecordSet": {
    ...byName("dns", ({ zoneId }) => `/zones/${text(zoneId)}/recordsets`, "recordsets"),
    // A name has records of several types, and others' ones among them.
    matches: (record, inputs) =>
      record.name === inputs.name &&
      record.type === inputs.type &&
      text(record.description) === text(inputs.description),
    idOf: ({ id }, { zoneId }) => `${text(zoneId)}/${id}`,
  },
  "openstack:compute/serverGroup:ServerGroup": {
    ...byName("compute", "/os-server-groups", "server_groups", false),
    // While its policy changes there are two of a name.
    matches: (group, inputs) => group.name === inputs.name && policyOf(group) === policyOf(inputs),
    unused: ({ members }) => Array.isArray(members) && members.length === 0,
  },
  "openstack:networking/routerInterface:RouterInterface": {
    service: "network",
    path: "/ports",
    key: "ports",
    by: ["routerId", "subnetId"],
    query: (inputs) => ({ device_id: text(inputs.routerId) }),
    matches: (port, inputs) =>
      ((port.fixed_ips as { subnet_id: string }[] | undefined) ?? []).some((ip) => ip.subnet_id === inputs.subnetId),
  },
  "openstack:networking/floatingIp:FloatingIp": {
    service: "network",
    path: "/floatingips",
    key: "floatingips",
    by: ["portId"],
    query: (inputs) => ({ port_id: text(inputs.portId) }),
    matches: (floatingIp, inputs) => floatingIp.port_id === inputs.portId,
  },
  "openstack:networking/secGroupRule:SecGroupRule": {
    service: "network",
    path: "/security-group-rules",
    key: "security_group_rules",
    by: ["securityGroupId", "remoteGroupId"],
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
    by: ["name"],
    query: (inputs) => ({ name: `^${text(inputs.name)}$` }),
    matches: (server, inputs) =>
      server.name === inputs.name &&
      text((server.metadata as Record<string, string> | undefined)?.[CLUSTER_KEY]) ===
        text((inputs.metadata as Record<string, string> | undefined)?.[CLUSTER_KEY]),
  },
};

/** What Pulumi writes in a preview for a value that is known only when something else is made. */
const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** A step of `pulumi preview --json`. */
export interface PlannedStep {
  op: string;
  urn: string;
  newState?: StateResource;
}

/** Resources that an update would make and that the cloud may have already: all inputs by which each is found are known. */
export function findable(steps: readonly PlannedStep[]): StateResource[] {
  return steps.flatMap(({ op, newState }) => {
    if (op !== "create" || !newState) return [];
    const { type, inputs = {} } = newState;
    const by = type === KEY_PAIR ? ["name"] : FINDERS[type]?.by;
    return !by || by.some((key) => inputs[key] === UNKNOWN) ? [] : [{ ...newState, inputs: onlyKnown(inputs) }];
  });
}

/** Inputs without those values that are not known yet. */
function onlyKnown<T>(value: T): T {
  if (Array.isArray(value)) return value.filter((item) => item !== UNKNOWN).map(onlyKnown) as T;
  if (typeof value !== "object" || value === null) return value;
  const known = Object.entries(value).filter(([, item]) => item !== UNKNOWN);
  return Object.fromEntries(known.map(([key, item]) => [key, onlyKnown(item)])) as T;
}

/**
 * Ids of what the project has of a type, by name.
 *
 * @throws CloudError when the cloud cannot be asked.
 */
export async function namesOf(cloud: Cloud, type: string): Promise<ReadonlyMap<string, string>> {
  const finder = FINDERS[type];
  if (!finder) throw new Error(`nobody knows how to find a ${type}`);
  const list = await listOf(cloud, finder, {}, {});
  return new Map(list.map(({ name, id }) => [text(name), id]));
}

/** What the project has: of networks an administrator would see every project's. */
async function listOf(
  cloud: Cloud,
  { service, path, key }: Finder,
  inputs: Inputs,
  query: Record<string, string>,
): Promise<Candidate[]> {
  const owned: Record<string, string> = service === "network" ? { project_id: await cloud.projectId() } : {};
  return cloud.list(service, typeof path === "string" ? path : path(inputs), key, { ...owned, ...query });
}

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
 * @param known Ids of what the stack has already.
 * @throws UserError where several could be meant: which one it is, only a person can say.
 */
export async function findPending(
  cloud: Cloud,
  pending: readonly PendingCreate[],
  known: ReadonlySet<string> = new Set(),
): Promise<Found[]> {
  return Promise.all(
    pending.map(async ({ urn, type, inputs = {} }): Promise<Found> => {
      if (type === KEY_PAIR) return findKeyPair(cloud, urn, text(inputs.name));
      if (type === ACCESS_KEY) return { urn, todo: "has no name to be found by, will be made again" };
      const finder = FINDERS[type];
      if (!finder) return { urn };
      const list = await listOf(cloud, finder, inputs, finder.query(inputs));
      const idOf = (one: Candidate): string => finder.idOf?.(one, inputs) ?? one.id;
      const found = list.filter((candidate) => finder.matches(candidate, inputs) && !known.has(idOf(candidate)));
      const used = found.filter((candidate) => !finder.unused?.(candidate));
      if (used.length > 1)
        throw new UserError(
          `${urn}: ${used.length} could be meant (${used.map((f) => f.id).join(", ")}). Fix: delete in the cloud those that are not this stack's`,
        );
      const one = used[0] ?? found[0];
      return one ? { urn, id: idOf(one) } : { urn };
    }),
  );
}

/** Nova shows a private key only when it creates the pair. If the state does not hold the key, the pair is useless. */
async function findKeyPair(cloud: Cloud, urn: string, name: string): Promise<Found> {
  if (!(await cloud.find("compute", `/os-keypairs/${encodeURIComponent(name)}`))) return { urn };
  return { urn, todo: `its private key is lost: openstack keypair delete ${name}` };
}

/** What the cloud has beside a resource, of the same name and kind, and nothing uses. */
export interface Twin {
  urn: string;
  type: string;
  id: string;
}

/**
 * Twins of a stack's resources that nothing uses: the answer to a creation got lost, and the provider asked for it again. Only of types of
 * which a cloud may have several that are alike.
 *
 * @param known Ids of what the stack has.
 * @throws CloudError when the cloud cannot be asked.
 */
export async function findTwins(
  cloud: Cloud,
  resources: readonly PendingCreate[],
  known: ReadonlySet<string>,
): Promise<Twin[]> {
  const twins: Twin[] = [];
  for (const [type, alike] of Map.groupBy(resources, (resource) => resource.type)) {
    const finder = FINDERS[type];
    if (!finder?.unused) continue;
    const unused = (await listOf(cloud, finder, {}, {})).filter((one) => finder.unused?.(one) && !known.has(one.id));
    for (const { urn, inputs = {} } of alike) {
      twins.push(...unused.filter((one) => finder.matches(one, inputs)).map(({ id }) => ({ urn, type, id })));
    }
  }
  return twins;
}

/** Removes a twin. @throws CloudError where the cloud refuses. */
export async function removeTwin(cloud: Cloud, { type, id }: Twin): Promise<void> {
  const finder = FINDERS[type];
  if (!finder || typeof finder.path !== "string") throw new Error(`nobody knows how to remove a ${type}`);
  await cloud.remove(finder.service, `${finder.path}/${id}`);
}

interface StateResource {
  urn: string;
  type: string;
  id?: string;
  inputs?: Record<string, unknown>;
  outputs?: Record<string, unknown>;
  /** Whether it is deleted, and what takes its place not made yet. */
  pendingReplacement?: boolean;
  /** What went wrong after it was made. The engine then wants to change it, which not everything can be. */
  initErrors?: readonly string[];
}

/** A stack's state as `pulumi stack export` prints it, as far as it matters here. */
export interface Checkpoint {
  deployment: {
    resources?: StateResource[];
    pending_operations?: { type: string; resource: StateResource }[];
  };
}

/** Whether a resource was made and could then not be read: what the state says of it is not all. */
export const isHalfMade = ({ initErrors = [] }: StateResource): boolean => initErrors.length > 0;

/** The state in which the engine had begun to make these as well. */
export function withPending<C extends Checkpoint>(checkpoint: C, resources: readonly StateResource[]): C {
  const { pending_operations: operations = [] } = checkpoint.deployment;
  const begun = resources.map((resource) => ({ type: "creating", resource }));
  return { ...checkpoint, deployment: { ...checkpoint.deployment, pending_operations: [...operations, ...begun] } };
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
  // Where it takes the place of one that was deleted first, that one stands there until then.
  const urns = new Set(adopted.map(({ urn }) => urn));
  const others = resources.filter(({ urn, pendingReplacement }) => !(pendingReplacement && urns.has(urn)));
  return {
    ...checkpoint,
    deployment: {
      ...checkpoint.deployment,
      // Last: all that they depend on is there already, or they would not have been begun.
      resources: [...others, ...adopted],
      pending_operations: operations.filter(({ type }) => type !== "creating"),
    },
  };
}
