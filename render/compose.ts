import { createHash, type Hash } from "node:crypto";
import { stringify } from "yaml";
import { isBehindGateway } from "../cluster/features.ts";
import { isForPeople } from "../cluster/groups.ts";
import type { ImageName } from "../cluster/image-catalogue.ts";
import { type Limits, limitsOf, TMP_OPTIONS } from "../cluster/limits.ts";
import { publishedAddress } from "../cluster/publishing.ts";
import { SPARK_UID } from "../cluster/services/spark/spark.ts";
import type { Cluster, Directory, File, Machine, Port, Service } from "../cluster/types.ts";
import type { LookUp } from "../cluster/values.ts";
import type { ConfigKey } from "../config/schema.ts";
import { containerCommand, containerImage } from "./container.ts";
import { renderService } from "./content.ts";
import { probeCommand } from "./probe.ts";

/**
 * The cluster as one Docker Compose file: every machine an address on a network of its own, every service a container.
 * Pure: the same input gives the same bytes. Understood by Compose 1.29 and 2.
 */

export interface ComposeInput {
  cluster: Cluster;
  /** Reference of each image on this machine's Docker. */
  imageOf: (name: ImageName) => string;
  /** Value of each secret. */
  secretOf: (name: string) => string;
}

/** A file that a container mounts. */
export interface RenderedFile {
  /** Path below the environment's folder. */
  path: string;
  content: string;
  executable: boolean;
}

/** A cluster as Docker Compose takes it. */
export interface Rendered {
  /** The Compose file; it may hold secrets. */
  compose: string;
  /** Files that containers mount, below the folder of the Compose file. */
  files: RenderedFile[];
}

/** A port of this machine and what answers there. */
export interface Link {
  service: string;
  name: string;
  /** Config key by which the port is moved. */
  key?: ConfigKey;
  kind: NonNullable<Port["link"]>;
  /** Whether it is a page by HTTPS. */
  https?: true;
  address: string;
  port: number;
}

/** Label that tells Compose to recreate a container whose mounted files changed. */
const FILES_LABEL = "triplewide.files";

/**
 * Label that tells Compose to recreate a container when the container whose network it shares is recreated. Without it, the
 * container would keep running without a network.
 */
const NETWORK_LABEL = "triplewide.network";

/** Label of containers that leave their cluster for good when they get a signal. Its value is the name of that signal. */
export const LEAVE_LABEL = "triplewide.leave";

/** Label of volumes that hold no data worth keeping, only what containers of other containers must reach. */
export const SCRATCH_LABEL = "triplewide.scratch";
/** Label of the containers that a cluster's agents start, whose value is the project. */
export const TASKS_LABEL = "triplewide.tasks";
/** Where `docker-guard.py` of an agent reads who it works for. */
const CONTAINER_FILE = "/etc/triplewide/container";
const DOCKER_SOCKET = "/var/run/docker.sock";

/** Compose's name for a cluster: prefix of networks and volumes. */
export const projectName = (clusterName: string): string => `triplewide-${clusterName}`;

/** Name of a service's container: the machine's where it is alone there. */
export function containerName(cluster: Cluster, service: Service): string {
  const alone = cluster.services.filter((s) => s.machine === service.machine).length === 1;
  return `${cluster.name}-${service.machine}${alone ? "" : `-${service.name}`}`;
}

/** Links published on this machine: of every group the first machine, because all have the same ports. */
export function publishedLinks(cluster: Cluster): Link[] {
  const links: Link[] = [];
  const taken = new Set<number>();
  for (const service of cluster.services) {
    for (const port of service.ports) {
      if (!isPublished(cluster, service, port) || taken.has(port.port)) continue;
      taken.add(port.port);
      links.push({
        service: service.name,
        name: port.name,
        ...(port.key === undefined ? {} : { key: port.key }),
        kind: port.link ?? "http",
        ...(port.https ? { https: true } : {}),
        address: publishedAddress(cluster.config, port),
        port: port.publishedAs ?? port.port,
      });
    }
  }
  return links;
}

/** Whether a browser on this machine finds a port there: never a page that would be a way around the gateway's login. */
function isPublished(cluster: Cluster, service: Service, port: Port): boolean {
  const machine = cluster.machines.find((m) => m.name === service.machine);
  return port.link !== undefined && isForPeople(machine) && !isBehindGateway(cluster.config, port);
}

/**
 * The cluster as one Compose file: every machine is a network namespace, every service a container in it.
 *
 * @returns The same bytes for the same input.
 */
export function renderCompose({ cluster, imageOf, secretOf }: ComposeInput): Rendered {
  const lookUp: LookUp = (ref) => (ref.kind === "image" ? imageOf(ref.name) : secretOf(ref.name));
  const byMachine = Map.groupBy(cluster.services, (s) => s.machine);
  const services: Record<string, object> = {};
  const volumes: Record<string, object> = {};
  const files: RenderedFile[] = [];

  for (const machine of cluster.machines) {
    const here = byMachine.get(machine.name) ?? [];
    const published = here.flatMap((s) => s.ports.filter((port) => isPublished(cluster, s, port)));
    const alone = here.length === 1;
    // Services that share a machine share its address: one container holds it, the others join its network.
    const network = holder(cluster, machine, published, imageOf("spark-python"));
    if (!alone && here.length > 0) services[machine.name] = network;
    for (const definition of here) {
      const nested = definition.needs?.includes("docker-socket") ?? false;
      const needed = nested ? [...definition.files, containerFile(cluster, definition)] : definition.files;
      const service = renderService({ ...definition, files: needed }, lookUp);
      const key = alone ? machine.name : `${machine.name}-${service.name}`;
      const mounts: string[] = [];
      const hash = createHash("sha256");
      for (const file of service.files) {
        const path = `files/${key}${file.path}`;
        const { content } = file;
        files.push({ path, content, executable: isExecutable(file) });
        // It is read again while its service runs.
        if (file.until === undefined) hash.update(`${file.path}\0${content}\0`);
        mounts.push(`./${path}:${file.path}:ro`);
      }
      for (const dir of service.dirs.filter((d) => d.lasts === "data" || d.shared || nested)) {
        // Named by its service, so that a service keeps its data when others are added to its machine or leave it.
        const volume = volumeName(service, dir);
        volumes[volume] = dir.lasts === "data" ? {} : { labels: { [SCRATCH_LABEL]: "true" } };
        mounts.push(`${volume}:${dir.path}`);
      }
      if (nested) mounts.push(`${DOCKER_SOCKET}:${DOCKER_SOCKET}`);
      services[key] = {
        image: imageOf(containerImage(service)),
        container_name: containerName(cluster, definition),
        ...(alone ? onNetwork(cluster, machine, published) : { network_mode: `service:${machine.name}` }),
        command: containerCommand(service).map(literal),
        environment: Object.fromEntries(Object.entries(service.env).map(([k, v]) => [k, literal(v)])),
        ...limitsOfContainer(service.uid, limitsOf(service)),
        ...(mounts.length > 0 ? { volumes: mounts } : {}),
        ...(service.memoryMiB !== undefined ? { mem_limit: `${service.memoryMiB}m` } : {}),
        ...(service.shmMiB !== undefined ? { shm_size: `${service.shmMiB}m` } : {}),
        ...(service.devices !== undefined ? { devices: service.devices.map((path) => `${path}:${path}`) } : {}),
        ...(service.after.length > 0
          ? {
              depends_on: Object.fromEntries(
                service.after.map((name) => [`${machine.name}-${name}`, { condition: "service_healthy" }]),
              ),
            }
          : {}),
        healthcheck: {
          test: ["CMD", ...probeCommand(service.health.probe).map(literal)],
          interval: `${service.health.intervalSeconds}s`,
          timeout: `${service.health.timeoutSeconds}s`,
          start_period: `${service.health.startSeconds}s`,
          retries: service.health.retries,
        },
        labels: {
          [FILES_LABEL]: shortHash(hash),
          ...(service.leaveSignal ? { [LEAVE_LABEL]: service.leaveSignal } : {}),
          ...(alone ? {} : { [NETWORK_LABEL]: shortHash(createHash("sha256").update(JSON.stringify(network))) }),
        },
        restart: "unless-stopped",
        stop_grace_period: "10s",
      };
    }
  }

  // Named, because Docker's own name has an underscore: it ends up in the machines' reverse DNS names, which Hadoop takes
  // for host names and Java's URI then refuses.
  const compose = {
    services,
    networks: {
      cluster: { name: projectName(cluster.name), ipam: { config: [{ subnet: cluster.config.networkCidr }] } },
    },
    ...(Object.keys(volumes).length > 0 ? { volumes } : {}),
  };
  return { compose: stringify(compose, { lineWidth: 0, aliasDuplicateObjects: false }), files };
}

/** Compose's name of the volume that holds a service's folder. */
export function volumeName(service: Pick<Service, "machine" | "name">, dir: Directory): string {
  const { machine, service: keeping } = dir.keeper ?? { machine: service.machine, service: service.name };
  const owner = dir.shared === "machine" ? service.machine : `${machine}-${keeping}`;
  return `${owner}${dir.path.replaceAll("/", "-")}`;
}

/** The limits of a container in Compose's words. Open files stay this machine's Docker's: it may not be able to raise them. */
function limitsOfContainer(uid: number, limits: Limits): object {
  const { capabilities, readOnly, processes } = limits;
  return {
    user: `${uid}:${uid}`,
    ...(capabilities === "all"
      ? {}
      : { cap_drop: ["ALL"], ...(capabilities.length > 0 ? { cap_add: capabilities } : {}) }),
    security_opt: ["no-new-privileges:true"],
    ...(readOnly ? { read_only: true, tmpfs: [`/tmp:${TMP_OPTIONS}`] } : {}),
    pids_limit: processes,
  };
}

/** Who a service is to Docker: its own container, the one whose network its machine has, and what its cluster is called. */
function containerFile(cluster: Cluster, service: Service): File {
  const values = {
    MACHINE: `${cluster.name}-${service.machine}`,
    SELF: containerName(cluster, service),
    PROJECT: projectName(cluster.name),
  };
  return { path: CONTAINER_FILE, content: { format: "properties", separator: "=", properties: values }, mode: "0644" };
}

const shortHash = (hash: Hash): string => hash.digest("hex").slice(0, 16);

const isExecutable = (file: Pick<File, "mode">): boolean => (Number.parseInt(file.mode, 8) & 0o100) !== 0;

function onNetwork(cluster: Cluster, machine: Machine, published: Port[]): object {
  const address = (port: Port): string => publishedAddress(cluster.config, port);
  return {
    hostname: machine.name,
    networks: { cluster: { ipv4_address: machine.address } },
    ...(published.length > 0
      ? { ports: published.map((p) => `${address(p)}:${p.publishedAs ?? p.port}:${p.port}`) }
      : {}),
  };
}

function holder(cluster: Cluster, machine: Machine, published: Port[], image: string): object {
  return {
    image,
    container_name: `${cluster.name}-${machine.name}`,
    ...onNetwork(cluster, machine, published),
    entrypoint: ["sleep"],
    command: ["infinity"],
    ...limitsOfContainer(SPARK_UID, limitsOf({})),
    mem_limit: "64m",
    healthcheck: { disable: true },
    restart: "unless-stopped",
    init: true,
    stop_grace_period: "1s",
  };
}

/** Compose reads `$` as the start of a variable. */
function literal(text: string): string {
  return text.replaceAll("$", "$$$$");
}
