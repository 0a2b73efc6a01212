import type { Architecture, Config, ConfigKey } from "../config/schema.ts";
import type { ImageName } from "./image-catalogue.ts";
import type { Health, Probe } from "./probe.ts";
import type { Value } from "./values.ts";

/**
 * The cluster as plain data: what runs where. Everything else in this project renders it (to Compose, to user data, to OpenStack resources)
 * or prints it. Nothing here imports Pulumi, and nothing here holds a secret: secrets and image references are typed references
 * (`values.ts`), which a renderer fills in before it quotes.
 */

/** Machines of one group are alike: same roles, firewall and secrets, and but for subgroups the same flavor. */
export type Group = "bastion" | "client" | "registry" | "master" | "zookeeper" | "agent" | "datanode";

/** What a machine is for. A machine may have several roles; each brings services (`services/index.ts`). */
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

/** One machine: a server of OpenStack, or a network namespace on this machine's Docker. */
export interface Machine {
  /** Unique within the cluster, such as `agent-7`; never reused for another purpose. */
  name: string;
  group: Group;
  /** Part of the group with a size of its own that it is in. @default none */
  subgroup?: string;
  /** Number within the group, or the subgroup, from 1. */
  number: number;
  roles: Role[];
  address: string;
  /** OpenStack flavor; `undefined` on platform `docker`. */
  flavor: string | undefined;
  /** GB of the data volume; `undefined` where the machine has none. */
  volumeGb: number | undefined;
  /** GB of the volume that comes and goes with the machine; `undefined` where it has none. A machine has one volume at most. */
  scratchGb: number | undefined;
  /** OpenStack availability zone. @default the cloud's own choice */
  availabilityZone: string | undefined;
  /** Cinder's availability zone of the data volume; `undefined`: Cinder's default. */
  volumeZone: string | undefined;
}

/** Values that a JSON file may hold. */
export type Json = Value | number | boolean | readonly Json[] | { readonly [key: string]: Json };

/** What a file holds, as data: a renderer fills values in and then writes and quotes it in its format. */
export type Content =
  /** Text that is written unchanged. Its values are not quoted, so they must hold no character that is special in the text's format. */
  | { format: "text"; text: Value }
  /** Java properties, `key<separator>value`, sorted by key. */
  | { format: "properties"; separator: " " | "="; properties: Readonly<Record<string, Value>> }
  /** Hadoop's XML configuration, sorted by name. */
  | { format: "hadoop-xml"; properties: Readonly<Record<string, Value>> }
  /** Lines `export NAME=value` for a shell, sorted by name. */
  | {
      format: "shell-exports";
      variables: Readonly<Record<string, Value>>;
      /** A variable to which the output of a program is added; where the program fails, so does what reads the file. */
      added?: { variable: string; command: readonly string[] };
    }
  /** JSON on one line. */
  | { format: "json"; value: Json };

/** A file that a service reads. */
export interface File {
  /** Absolute path on the machine, or in the container. */
  path: string;
  content: Content;
  /** Octal text such as "0644". Files that hold a secret are "0600" and owned by the service's user. */
  mode: string;
  /** Owner of a "0600" file that another user than the service's reads. */
  uid?: number;
  /**
   * Text of the file until `up` has given its content to the machine, for what changes with every agent: the service reads the file
   * again and again, and neither it nor its machine is replaced for it. Such a file holds no secret.
   * @default its content is part of the machine
   */
  until?: string;
}

/** Who may connect to a port. `self`: other machines of the same group. */
export type Peer = Group | "self";

/** What the landing page can read from a page: see `images/gateway/site/landing.js`. */
export type PageKind = "jupyter" | "hub" | "metrics" | "spark-master" | "history" | "mesos" | "marathon" | "hdfs";

/** A page as the gateway shows it, below a path of its own. */
export interface Page {
  /** What people call it. */
  title: string;
  kind: PageKind;
  /** First part of its paths: `spark` for `/spark/…`. */
  path: string;
  /** Whether its program knows that path. @default the gateway takes it off, and says in a header what it took */
  keepsPath?: true;
  /** Value of the header `Authorization`, by which the gateway logs in to a page that has a login of its own. @default none */
  authorization?: Value;
  /** Whether it shows drivers' pages as well, below `proxy/`. */
  showsDrivers?: true;
  /** Whether it is shown, and nothing is done through it: GET and HEAD alone. */
  readOnly?: true;
  /** What its paths begin with that do something for a GET, below its path: not shown. @default none */
  acts?: readonly string[];
  /**
   * Port at which people open it, which is another origin to browsers than the gateway's own, and `status`, which the landing page reads.
   * For pages of many people's making, with a login of their own: the gateway leads there, and asks for no password before.
   * @default it is shown below its path, to who has the gateway's password
   */
  ownOrigin?: { port: number; status: string };
  /** What of it people see first, below its path. @default what it shows itself */
  first?: string;
  /** Whether it is at the loopback interface of the gateway's machine alone. */
  loopback?: true;
  /** Where several machines have the page: the one whose answer there matches is shown. */
  leader?: { path: string; match: string };
}

/** Metrics that a program offers at its port, for Prometheus to read. */
export interface Metrics {
  path: string;
  /** What Prometheus calls them (label `job`). @default the service's name */
  job?: string;
  /** Whether it listens on its machine's loopback interface alone, which is the client: nobody else is to read it. */
  loopback?: true;
  /** Whether often nobody listens there: for programs that come and go, whose absence is no fault. */
  optional?: true;
  /**
   * What the program says there where that is not Prometheus' format: Mesos' JSON, or the lines of ZooKeeper's `mntr`, which
   * `images/prometheus/translate` makes metrics of; `any`: that it answers at all is what is measured; `tcp`: that it takes
   * connections; `tls`: until when the certificate is good that it shows.
   * @default Prometheus' format
   */
  format?: "mesos" | "zookeeper" | "any" | "tcp" | "tls";
}

/** A TCP port, or a range of them, that a service listens on. */
export interface Port {
  name: string;
  /** Config key that sets it; `undefined` for ports that are not configurable. */
  key?: ConfigKey;
  port: number;
  /** Last port of a range. */
  last?: number;
  /** Groups that may connect; the same machine always may. */
  from: Peer[];
  /** Networks outside of the cluster that may connect. @default none */
  fromCidrs?: readonly string[];
  /**
   * Published on this machine's `bindAddress` where the platform is `docker`, and listed among the links. `sc`: what clients of Spark
   * Connect connect to; `acme`: where who issues certificates asks.
   */
  link?: "http" | "spark" | "sc" | "acme";
  /** Whether whoever connects is asked for a login of its own. Where there is a gateway, people reach other pages only through it. */
  login?: true;
  /** Whether other machines may have it without `openToNetwork`: it speaks TLS, or says where TLS is. */
  forNetwork?: true;
  /** Whether it speaks HTTPS, by a certificate of the cluster's own authority (`authority.ts`): whoever reads it trusts that one. */
  https?: true;
  /** Port under which Docker publishes it. @default its own */
  publishedAs?: number;
  /** @default the gateway does not show it */
  page?: Page;
  /** Read where the config has `monitoring`, by the client. @default it has none */
  metrics?: readonly Metrics[];
}

/** A directory that outlives the process. */
export interface Directory {
  path: string;
  /** How long it stays: as long as its machine, or longer (on the data volume where there is one). */
  lasts: "machine" | "data";
  /**
   * Who else has it. `machine`: one folder for all services of the machine, at this very path, where anyone may write.
   * `cluster`: one folder for all machines that have it.
   * @default nobody; it is the service's own
   */
  shared?: "machine" | "cluster";
  /**
   * Where servers themselves have it, and mount it, in place of `path`: for one that lies in a folder which others than root may change,
   * and put a link there. Containers have it at `path`.
   */
  at?: string;
  /** Whether it is root's, and everyone may pass through it to folders of their own. */
  passable?: true;
  /** User who had the folder in older releases: what it holds is given to the service's user before that starts. */
  formerly?: number;
  /** Whose data a folder is that the cluster shares. @default no machine's: each mounts it from elsewhere */
  keeper?: { machine: string; service: string };
}

/** A capability of Linux, without its prefix `CAP_`. */
export type Capability = "CHOWN" | "DAC_OVERRIDE" | "FOWNER" | "KILL" | "NET_BIND_SERVICE" | "SETGID" | "SETUID";

/**
 * What a service may do, in a container and as a process of a machine alike. By itself it may do nothing but run as its user,
 * write to its folders and to a small `/tmp` of its own, and have as many processes and files as `cluster/limits.ts` says.
 */
export interface Hardening {
  /** Capabilities that it keeps. @default none */
  capabilities?: readonly Capability[] | "all";
  /** Whether it may write anywhere that its user may, and its `/tmp` is as large as the disk. @default false */
  writesRoot?: true;
  /**
   * Whether what it started lives on when it ends, has control groups of its own, and does not count towards its limit on
   * processes: for a service that starts others' programs. For a process of a machine.
   */
  keepsChildren?: true;
  /** Home directory of the login that Docker's command finds when the service calls it. For a process of a machine. */
  dockerConfig?: string;
}

/** What a service needs of its machine beyond a plain container: containers of its own, or all processes. */
export type Need = "docker-socket" | "host-pid" | "cgroup";

/** What is installed on a machine for a service that is a process of it. */
export interface Software {
  /** Debian packages. */
  packages?: readonly string[];
  /** Units that those packages would start by themselves: on our ports, and without a password. */
  maskedUnits?: readonly string[];
  /** Whether it is one of Mesos' own programs, which come from `mesosSource`. */
  mesos?: true;
  /** Whether its tasks run on the machine itself and need the Python packages of the image, and Java. */
  python?: true;
}

/** A program that runs on a machine. */
export interface Service {
  /** What it is, such as `spark-worker`: unique on its machine. */
  name: string;
  machine: string;
  /** `systemd`: a process of the machine; `docker`: a container on it. On platform `docker` both are containers. */
  runtime: "systemd" | "docker";
  /** The image that it runs in; `undefined` for a program that is only ever a process of a machine. */
  image: ImageName | undefined;
  /** Program and arguments, without a shell. */
  command: string[];
  env: Record<string, Value>;
  files: File[];
  ports: Port[];
  health: Health;
  /** User id that the process has. */
  uid: number;
  dirs: Directory[];
  /** MiB after which the process is ended. @default no limit */
  memoryMiB?: number;
  /**
   * MiB of shared memory (`/dev/shm`) that programs in its container may use: Python's `multiprocessing` and what is built on it
   * fail at Docker's own 64 MiB. Without effect on a process of a machine, which shares its machine's.
   */
  shmMiB?: number;
  /** Devices of its machine that its container has, at the same path. @default those that every container has */
  devices?: readonly string[];
  /** Names of services that start before this one, where the machine has them. */
  after: string[];
  /** Signal by which it leaves its cluster for good; without it, others may wait for it to come back. */
  leaveSignal?: string;
  needs?: readonly Need[];
  /** Images that its tasks run in, started by it through its machine's Docker. @default it starts no containers */
  startsContainers?: readonly ImageName[];
  /**
   * Program of a Mesos agent, by which a machine finds out which control groups it needs before it starts. Such a service
   * starts when that is known, others as soon as what runs them is installed.
   */
  agentProgram?: string;
  /** @default it may do no more than `Hardening` says */
  hardening?: Hardening;
  /** Command by which root of a server makes it ready before each start. */
  prepare?: readonly string[];
  /** Commands of the guest (`render/cloud-init/guest`) that a server has for it: `/usr/local/sbin/triplewide-…`. @default none */
  commands?: readonly string[];
  software?: Software;
}

/** How a Spark driver on the client reaches the cluster. */
export interface SparkWiring {
  /** `spark-defaults.conf`. */
  conf: Record<string, Value>;
  /** `spark-env.sh`. */
  env: Record<string, string>;
  /** MASTER. */
  master: string;
  /** Program whose output is added to the options of every driver's JVM. Where it fails, the driver does not start. */
  options?: string[];
}

/**
 * What must hold before a group counts as ready, beyond the health of its services: a leader, all agents registered.
 * Never part of a machine's user data: its numbers change with every agent, and would replace the masters. Gates of the
 * client come last: they see what the others have made possible.
 */
export interface Gate {
  group: Group;
  what: string;
  /** Asked on each machine of the group; one success is enough. */
  probe: Probe;
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
  protocol: "tcp";
  first: number;
  last: number;
  fromGroup?: Group;
  fromCidr?: string;
}

/** A random secret. Each stays on the groups that need it; one that keys are made of, with the stack, and no group has it. */
export interface Secret {
  name: string;
  length: number;
  groups: Group[];
}

/** What Marathon asks a task to see that it works. */
export interface AppHealth {
  probe: Probe;
  /** Seconds in which failures do not count yet. */
  graceSeconds: number;
  intervalSeconds: number;
  timeoutSeconds: number;
  /** Failures in a row after which the task is replaced. */
  retries: number;
}

/** An app that Marathon keeps running, in a container. It must hold no secret: Marathon shows apps to every user who logs in. */
export interface App {
  id: string;
  instances: number;
  /** Command line for a shell; `$HOST` is the address of the machine that the task runs on. */
  command: string;
  /** User of the image. */
  user: string;
  env: Readonly<Record<string, string>>;
  image: ImageName;
  /** Files of its machine that it reads, at the same path. */
  files: readonly string[];
  /** Folders of its machine that it reads and writes, at the same path. */
  folders: readonly string[];
  /** Files and sockets that it may have open. @default the limit of the machine's Docker */
  openFiles?: number;
  /** MiB of shared memory that its programs may use. @default Docker's own 64 */
  shmMiB?: number;
  /** Ports of its machine that it needs. */
  ports: readonly { name: string; port: number }[];
  /** Addresses of the machines that it may run on. @default any */
  hosts?: readonly string[];
  /** Group of agents that it may run on; `none`: agents of no group. @default any agent */
  agentGroup?: string;
  health: AppHealth;
  cpus: number;
  memoryMiB: number;
  /** Part of its tasks that stays healthy while a new definition is rolled out, from 0 to 1. */
  healthyWhileUpdated: number;
  /** Ids of apps that start before it. */
  dependsOn?: readonly string[];
}

/** Everything that runs, and where. */
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
  apps: App[];
}
