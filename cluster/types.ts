import type { Architecture, Config } from "../config/schema.ts";

/**
 * The cluster as plain data: what runs where. Everything else in this project renders it (to Compose, to user data, to
 * OpenStack resources) or prints it. Nothing here knows Pulumi, and nothing here holds a secret: a secret's place is
 * marked `{{secret:NAME}}`, an image's `{{image:NAME}}`, and the renderers fill both in.
 */

/** Machines of one group are alike: same roles, flavor, firewall and secrets. */
export type Group = "bastion" | "client" | "registry" | "master" | "zookeeper" | "agent" | "datanode";

export type Role =
  | "bastion"
  | "client"
  | "registry"
  | "zookeeper"
  | "mesos-master"
  | "mesos-agent"
  | "spark-master"
  | "spark-worker"
  | "marathon"
  | "namenode"
  | "journalnode"
  | "datanode";

export interface Machine {
  /** Unique within the cluster, such as `agent-7`; never reused for another purpose. */
  name: string;
  group: Group;
  /** Number within the group, from 1. */
  number: number;
  roles: Role[];
  address: string;
  /** OpenStack flavor; empty on platform `docker`. */
  flavor: string;
  /** GB of the data volume; 0 where the machine keeps no state. */
  volumeGb: number;
  /** OpenStack availability zone; empty: the cloud's default. */
  availabilityZone: string;
}

/** Our images, by the name of their folder under `images/`, and images of others, by the config key that names them. */
export type ImageName = "spark-python" | "client" | "zookeeper" | "hdfs" | "registry" | "marathon";

export interface File {
  /** Absolute path on the machine, or in the container. */
  path: string;
  content: string;
  /** Octal text such as "0644". Files that hold a secret are "0600" and owned by the service's user. */
  mode: string;
  /** Owner of a "0600" file that another user than the service's reads. */
  uid?: number;
}

/** Who may connect to a port. `self`: other machines of the same group. */
export type Peer = Group | "self";

export interface Port {
  name: string;
  port: number;
  /** Last port of a range. */
  last?: number;
  /** Groups that may connect; the same machine always may. */
  from: Peer[];
  /** Published on this machine's `bindAddress` where the platform is `docker`, and listed among the links. */
  link?: "http" | "spark";
}

/** How to see that a service works: an exit code of 0 from a command, run where the service runs. */
export interface Health {
  command: string[];
  intervalSeconds: number;
  timeoutSeconds: number;
  /** Time in which failures do not count yet. */
  startSeconds: number;
  retries: number;
}

export interface Service {
  /** What it is, such as `spark-worker`: unique on its machine. */
  name: string;
  machine: string;
  /** `systemd`: a process of the machine; `docker`: a container on it. On platform `docker` both are containers. */
  runtime: "systemd" | "docker";
  image: ImageName;
  /** Program and arguments, without a shell. */
  command: string[];
  env: Record<string, string>;
  files: File[];
  ports: Port[];
  health: Health;
  /** User id that the process has. */
  uid: number;
  /**
   * Directories that outlive the process; with `keep` also the machine (on the data volume where there is one). Those that
   * are `shared` are one for all services of the machine, at this very path of the machine, and anyone may write there.
   */
  dirs: { path: string; keep: boolean; shared?: true }[];
  /** MiB after which the process is ended, 0: no limit. */
  memoryMiB: number;
  /** Services of the same machine that start before this one. */
  after: string[];
  /** Signal by which it leaves its cluster for good; without it, others may wait for it to come back. */
  leaveSignal?: string;
  /** What it needs of its machine beyond a plain container: containers of its own, or all processes. */
  needs?: ("docker-socket" | "host-pid" | "cgroup")[];
}

/** How a Spark driver on the client reaches the cluster. */
export interface SparkWiring {
  /** `spark-defaults.conf`. */
  conf: Record<string, string>;
  /** `spark-env.sh`. */
  env: Record<string, string>;
  /** MASTER. */
  master: string;
}

/**
 * What must hold before a group counts as ready, beyond the health of its services: a leader, all agents registered.
 * Never part of a machine's user data: its numbers change with every agent, and would replace the masters. Gates of the
 * client come last: they see what the others have made possible.
 */
export interface Gate {
  group: Group;
  what: string;
  /** Run on each machine of the group, outside of any container; one success is enough. */
  command: string[];
}

/** What the cluster takes of an OpenStack project's quota. `null`: a flavor's size is not known without the cloud. */
export interface Quota {
  instances: number;
  vcpus: number | null;
  ramMiB: number | null;
  ports: number;
  volumes: number;
  gigabytes: number;
  floatingIps: number;
  securityGroups: number;
  securityGroupRules: number;
}

/** One rule of a security group. Exactly one of `fromGroup` and `fromCidr` is set. */
export interface FirewallRule {
  group: Group;
  /** For names and descriptions: `spark-master/ui`. */
  what: string;
  protocol: "tcp" | "icmp";
  first: number;
  last: number;
  fromGroup?: Group;
  fromCidr?: string;
}

/** A random secret. Each stays on the groups that need it. */
export interface Secret {
  name: string;
  length: number;
  groups: Group[];
}

/** An app as Marathon's HTTP interface takes it. No secret may stand in one: Marathon shows them to whoever logs in. */
export type MarathonApp = Readonly<Record<string, unknown>> & {
  readonly id: string;
  readonly instances: number;
  readonly labels?: Readonly<Record<string, string>>;
};

export interface Cluster {
  name: string;
  architecture: Architecture;
  config: Config;
  machines: Machine[];
  services: Service[];
  spark: SparkWiring;
  quota: Quota;
  firewall: FirewallRule[];
  secrets: Secret[];
  gates: Gate[];
  /** What Marathon keeps running; empty where there is no Marathon. Never in user data: it counts agents. */
  apps: MarathonApp[];
}

export const secret = (name: string): string => `{{secret:${name}}}`;
export const image = (name: ImageName): string => `{{image:${name}}}`;
