import { Volume } from "@pulumi/openstack/blockstorage/volume.js";
import { Instance } from "@pulumi/openstack/compute/instance.js";
import { ServerGroup } from "@pulumi/openstack/compute/serverGroup.js";
import { Port } from "@pulumi/openstack/networking/port.js";
import * as pulumi from "@pulumi/pulumi";
import type { Group, Machine } from "../cluster/types.ts";
import {
  CLUSTER_KEY,
  CONFIG_KEY,
  dataVolumeName,
  type ExistingMachine,
  HOST_KEY_KEY,
  IMAGE_ID_KEY,
  IMAGE_KEY,
  REPLACES_KEY,
  resourceName,
} from "../openstack/inventory.ts";
import type { ServerGroup as ServerGroupPlan } from "../openstack/server-groups.ts";
import type { Configuration } from "./configuration.ts";
import { GroupUpdate } from "./group-update.ts";
import type { Operations } from "./operations.ts";
import { serverFaults } from "./server-faults.ts";

export interface MachineGroupArgs {
  /** Prefix of the machines' names in OpenStack. */
  clusterName: string;
  /** Group that all these machines belong to. */
  group: Group;
  /** The machines. Plain, because they decide which resources there are. */
  machines: readonly Machine[];
  /** What each machine is made from, by its name. */
  configurations: pulumi.Output<ReadonlyMap<string, Configuration>>;
  /** Network that the machines' ports are in. */
  networkId: pulumi.Input<string>;
  /** Subnet that the machines' addresses are of. */
  subnetId: pulumi.Input<string>;
  /** The group's security group. */
  securityGroupId: pulumi.Input<string>;
  /** Instances depend on these: a machine needs the router when it boots, and OpenStack removes the router only after it. */
  routerInterfaces: readonly pulumi.Resource[];
  /** Guest image. */
  imageId: pulumi.Input<string>;
  /** What the config calls it, by which the next update knows whether another one is meant. */
  image: string;
  /**
   * GB of the volume that each machine boots from.
   * @default machines boot from their flavor's disk
   */
  bootVolumeGb?: number;
  /** Whether machines get user data, address and keys by a config drive. */
  configDrive: boolean;
  /** Id of each flavor that a machine names. */
  flavorIds: Readonly<Record<string, string>>;
  /** Nova's name of the key pair. */
  keyName: pulumi.Input<string>;
  /** Machines that shall not share a hypervisor. Plain, because they decide which resources there are. */
  serverGroups: readonly ServerGroupPlan[];
  /**
   * Cinder volume type of the data volumes.
   * @default the cloud's own
   */
  volumeType?: pulumi.Input<string>;
  /** Whether a data volume refuses to be deleted. */
  protectData: boolean;
  /** How many machines are replaced at the same time. */
  batchSize: number;
  /** Seconds that the group may take to become ready. */
  readyTimeoutSeconds: number;
  /** What exists, and how machines are waited for. */
  operations: Operations;
  /** See `twins.ts`. */
  refusesTwins: pulumi.ResourceHook;
  /** See `twins.ts`. */
  tellsOfTwins: pulumi.ResourceHook;
  /** Resolves when this group may start to replace machines. */
  after: Promise<void>;
}

/**
 * Machines that are alike. Each is a port (its address is known before it boots, and stays), a data volume where the
 * machine keeps state, and an instance, which is replaced when what it runs changes.
 *
 * @throws Error where `flavorIds` lacks a flavor that a machine names.
 * @example
 * ```ts
 * const agents = new MachineGroup("lab-agent", { clusterName: "lab", group: "agent", machines, configurations, ...rest });
 * await agents.ready;
 * ```
 */
export class MachineGroup extends pulumi.ComponentResource {
  /** Port of each machine, by machine name. */
  readonly ports: ReadonlyMap<string, Port>;
  /** Server id of each machine, by machine name. */
  readonly instanceIds: ReadonlyMap<string, pulumi.Output<string>>;
  /** Id of what keeps each machine's state, by machine name: its volume, or the instance where there is none. */
  readonly storageIds: ReadonlyMap<string, pulumi.Output<string>>;
  /** Resolves when every machine is ready; rejects with an error at the resource at fault. */
  readonly ready: Promise<void>;
  /** Resolves when no machine is left to replace. */
  readonly replaced: Promise<void>;

  constructor(name: string, args: MachineGroupArgs, opts?: pulumi.ComponentResourceOptions) {
    super("triplewide:index:MachineGroup", name, {}, opts);

    const update = new GroupUpdate({ ...args, resource: this });
    const serverGroups = this.#serverGroups(name, args);
    const faults = serverFaults(`${name}-faults`, args, this);
    const ports = new Map<string, Port>();
    const instanceIds = new Map<string, pulumi.Output<string>>();
    const storageIds = new Map<string, pulumi.Output<string>>();
    for (const machine of args.machines) {
      const child = name + machine.name.slice(args.group.length);
      const port = this.#port(child, machine, args);
      const volume = machine.volumeGb === undefined ? undefined : this.#volume(child, machine, machine.volumeGb, args);
      const serverGroup = serverGroups.get(machine.name);
      const parts = { port, volume, serverGroup, faults, configuration: update.configurationOf(machine) };
      const instance = this.#instance(child, machine, args, parts);
      update.registered(machine, instance);
      ports.set(machine.name, port);
      instanceIds.set(machine.name, instance.id);
      storageIds.set(machine.name, volume?.id ?? instance.id);
    }
    this.ports = ports;
    this.instanceIds = instanceIds;
    this.storageIds = storageIds;
    this.ready = update.ready;
    this.replaced = update.replaced;

    this.registerOutputs({ instanceIds: Object.fromEntries(instanceIds) });
  }

  /** The server group of each machine that has one. */
  #serverGroups(name: string, args: MachineGroupArgs): ReadonlyMap<string, ServerGroup> {
    const groups = new Map<string, ServerGroup>();
    for (const plan of args.serverGroups) {
      const group = new ServerGroup(
        name + plan.name.slice(args.group.length),
        { name: resourceName(args.clusterName, plan.name), policies: [plan.policy] },
        { parent: this, hooks: { afterCreate: [args.tellsOfTwins] } },
      );
      for (const member of plan.members) groups.set(member, group);
    }
    return groups;
  }

  #port(child: string, machine: Machine, args: MachineGroupArgs): Port {
    const name = resourceName(args.clusterName, machine.name);
    return new Port(
      child,
      {
        name,
        networkId: args.networkId,
        fixedIps: [{ subnetId: args.subnetId, ipAddress: machine.address }],
        securityGroupIds: [args.securityGroupId],
      },
      { parent: this },
    );
  }

  #volume(child: string, machine: Machine, gigabytes: number, args: MachineGroupArgs): Volume {
    return new Volume(
      child,
      {
        name: dataVolumeName(args.clusterName, machine.name),
        size: gigabytes,
        ...(args.volumeType ? { volumeType: args.volumeType } : {}),
        ...(machine.volumeZone ? { availabilityZone: machine.volumeZone } : {}),
        // A larger volume is no reason to take its machine away.
        enableOnlineResize: true,
      },
      // Moving a volume to another zone would make an empty one.
      {
        parent: this,
        protect: args.protectData,
        ignoreChanges: ["availabilityZone"],
        hooks: { beforeCreate: [args.refusesTwins] },
      },
    );
  }

  #instance(child: string, machine: Machine, args: MachineGroupArgs, parts: Parts): Instance {
    const name = resourceName(args.clusterName, machine.name);
    const { port, volume, serverGroup, faults, configuration } = parts;
    const flavorId = args.flavorIds[machine.flavor ?? ""];
    if (!flavorId) throw new Error(`${machine.name}: no id is known for the flavor ${machine.flavor}`);
    const disks = disksOf(machine, args, volume);
    const generation = generationOf(args.operations.existing.get(machine.name));
    return new Instance(
      child,
      {
        name,
        // What boots from a volume has its image there, and the provider would see another one at every refresh.
        ...(args.bootVolumeGb === undefined ? { imageId: args.imageId } : {}),
        flavorId,
        keyPair: args.keyName,
        networks: [{ port: port.id }],
        userData: pulumi.secret(configuration.apply(({ userData }) => userData)),
        metadata: {
          [CLUSTER_KEY]: args.clusterName,
          [IMAGE_KEY]: args.image,
          ...(args.bootVolumeGb === undefined ? {} : { [IMAGE_ID_KEY]: args.imageId }),
          [CONFIG_KEY]: pulumi.unsecret(configuration.apply(({ hash }) => hash)),
          [HOST_KEY_KEY]: pulumi.unsecret(configuration.apply(({ hostKey }) => hostKey)),
          ...(generation === FIRST ? {} : { [REPLACES_KEY]: generation }),
        },
        ...(machine.availabilityZone ? { availabilityZone: machine.availabilityZone } : {}),
        ...(serverGroup ? { schedulerHints: [{ group: serverGroup.id }] } : {}),
        ...(args.configDrive ? { configDrive: true } : {}),
        ...(disks.length > 0 ? { blockDevices: disks } : {}),
        ...(volume ? { stopBeforeDestroy: true } : {}),
      },
      {
        parent: this,
        dependsOn: [...args.routerInterfaces],
        // A port serves one instance at a time, and so does a volume.
        deleteBeforeReplace: true,
        // Nova would rebuild the root disk in place, which the plan would show as a mere update.
        replaceOnChanges: ["imageId", "imageName"],
        replacementTrigger: generation,
        hooks: { onError: [faults] },
      },
    );
  }
}

/** The machine's disks; none where there is only the flavor's, which then need not be named. */
function disksOf(machine: Machine, args: MachineGroupArgs, volume: Volume | undefined) {
  const volumeType = args.volumeType ? { volumeType: args.volumeType } : {};
  const own = args.bootVolumeGb === undefined;
  const root = {
    sourceType: "image",
    uuid: args.imageId,
    bootIndex: 0,
    deleteOnTermination: true,
    ...(own
      ? { destinationType: "local" }
      : { destinationType: "volume", volumeSize: args.bootVolumeGb ?? 0, ...volumeType }),
  };
  if (volume) {
    // Part of the server rather than attached later: the machine never runs without its volume, and the volume is never
    // detached from a running machine, because the server is shut down first.
    const data = { sourceType: "volume", uuid: volume.id, destinationType: "volume" };
    return [root, { ...data, bootIndex: -1, deleteOnTermination: false }];
  }
  if (machine.scratchGb === undefined) return own ? [] : [root];
  const blank = { sourceType: "blank", destinationType: "volume", volumeSize: machine.scratchGb, ...volumeType };
  return [root, { ...blank, bootIndex: -1, deleteOnTermination: true }];
}

interface Parts {
  port: Port;
  volume: Volume | undefined;
  serverGroup: ServerGroup | undefined;
  /** Logs why the cloud could not create the instance. */
  faults: pulumi.ErrorHook;
  /** Known as soon as the machine may be registered. */
  configuration: pulumi.Output<Configuration>;
}

/** Generation of a machine that was never replaced because of ERROR. */
const FIRST = "first";

/**
 * A value whose change replaces the instance though none of its inputs changed. Pulumi keeps a server that ended in ERROR
 * in its state like any other, and an update would report success. The new server keeps the id of the one it replaced in
 * its metadata, so that the next update sees no change.
 */
function generationOf(existing: ExistingMachine | undefined): string {
  if (existing?.status === "ERROR" && existing.serverId) return existing.serverId;
  return existing?.replaces ?? FIRST;
}
