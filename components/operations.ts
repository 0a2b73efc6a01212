import type { Cluster, Group } from "../cluster/types.ts";
import type { SshTarget } from "../machines/ssh.ts";
import type { ExistingMachine } from "../openstack/inventory.ts";
import type { MarathonApp } from "../render/marathon-apps.ts";

/** How the cluster's machines are reached. */
export interface Access {
  /** Private key, empty where only its owner has it. */
  privateKey: string;
  /** Host keys of all machines, as lines of `known_hosts`. */
  knownHosts: string;
  /** Machine with the public address; absent where the machines are reached directly. */
  bastion?: SshTarget;
}

export interface ReadyRequest {
  /** What is waited for, for messages. */
  group: Group;
  machines: readonly SshTarget[];
  /** What the group must achieve together, as `renderGates` writes it; empty: each machine for itself. */
  gates: string;
  /** Whether one machine of several is enough. */
  enough: "all" | "one";
  /** Seconds after which the machines are given up. */
  timeoutSeconds: number;
  /** Takes one short line whenever something changed. */
  report: (line: string) => void;
}

export interface AppsRequest {
  /** Machines with a Marathon. */
  machines: readonly SshTarget[];
  /** Marathon's port on them. */
  port: number;
  /** File on each of them with `user:password`. */
  loginFile: string;
  /** What Marathon shall keep running, with every mark filled in. */
  apps: readonly MarathonApp[];
  timeoutSeconds: number;
  /** Takes one short line whenever something changed. */
  report: (line: string) => void;
}

/** A resource that the engine has made. */
export interface MadeResource {
  urn: string;
  /** Pulumi's, such as `openstack:compute/serverGroup:ServerGroup`. */
  type: string;
  /** What was asked for. */
  inputs: Readonly<Record<string, unknown>>;
  id: string;
}

export interface QuotasRequest {
  cluster: Cluster;
  /** Machines with a Mesos master. */
  machines: readonly SshTarget[];
  timeoutSeconds: number;
}

/**
 * What the program does besides registering resources: it knows what exists, and it waits for machines. The components
 * use nothing else, so that tests need neither a cloud nor machines.
 */
export interface Operations {
  /** Whether anything is waited for; false in a preview, where nothing happens that could be waited for. */
  readonly waits: boolean;
  /** What the cloud holds of this cluster already, by machine name. */
  readonly existing: ReadonlyMap<string, ExistingMachine>;
  /** Sets how machines are reached. Every operation that needs SSH waits for this call. */
  reach(access: Access): void;
  /** Why the cloud could not create a machine; empty where it gives no reason or does not answer. */
  fault(machine: string): Promise<string>;
  /**
   * Id of what the cloud has of a type under a name, from before this update; `undefined` where there is none.
   *
   * @param type Pulumi's, such as `openstack:networking/network:Network`.
   */
  known(type: string, name: string): Promise<string | undefined>;
  /**
   * Ids of what the cloud has beside a resource that was just made, of the same name and kind, and that nothing uses; none for types
   * of which it makes no second one.
   */
  twins(resource: MadeResource): Promise<string[]>;
  /** Names of the keys for S3 that the user has in the project; `undefined` where the cloud does not say. */
  accessKeys(): Promise<readonly string[] | undefined>;
  /** Resolves when the machines are ready; rejects with each machine's reason and last log lines. */
  ready(request: ReadyRequest): Promise<void>;
  /** Resolves when Marathon runs these apps, and no others of ours; rejects with each app that it does not run, and why. */
  apps(request: AppsRequest): Promise<void>;
  /** Resolves when Mesos has the teams' quotas and weights, with the roles that were changed; rejects with Mesos' reason. */
  quotas(request: QuotasRequest): Promise<string[]>;
  /** Forwards `port` of this computer to the same port of a machine of the cluster, at an address that it has, until `close`. */
  forward(machine: SshTarget, address: string, port: number): Promise<void>;
  /** Ends all connections. */
  close(): Promise<void>;
}

/**
 * Operations that wait for nothing and change nothing, for previews.
 *
 * @param existing Machines that the cloud holds.
 */
export function passive(existing: ReadonlyMap<string, ExistingMachine> = new Map()): Operations {
  return {
    waits: false,
    existing,
    reach: () => {},
    fault: async () => "",
    known: async () => undefined,
    twins: async () => [],
    accessKeys: async () => undefined,
    ready: async () => {},
    apps: async () => {},
    quotas: async () => [],
    forward: async () => {},
    close: async () => {},
  };
}
