import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Scalar, stringify } from "yaml";
import { pinnedVersions } from "../cluster/images.ts";
import { pullLogin, pullsImages } from "../cluster/services/registry.ts";
import { type Cluster, type Group, image, type Machine, type Service, secret } from "../cluster/types.ts";
import { hasRegistry } from "../config/ports.ts";
import type { Config } from "../config/schema.ts";
import { packLock } from "./cloud-init/lock.ts";
import { CONF, envFile, hostFile, onHost, unitName } from "./cloud-init/paths.ts";
import { dockerEnvFile, environmentFile, shellWord, type Unit, unitFile } from "./cloud-init/systemd.ts";
import {
  bootUnit,
  imagesUnit,
  metadataUnit,
  retryTimer,
  retryUnit,
  serviceUnit,
  startsContainers,
  volumeUnit,
} from "./cloud-init/units.ts";

/**
 * User data: everything that one machine of OpenStack needs to become what the cluster says, as cloud-init reads it. Guests
 * are Debian 12 and Ubuntu 22.04 or later.
 *
 * A machine is replaced when its user data changes. So nothing stands in it that other machines may change without need: not
 * the number of agents or datanodes, nor their addresses.
 */

/**
 * Nova takes 65,535 bytes of user data after base64, which makes four bytes of three. Marks count as what will stand in
 * their place.
 */
export const MAX_USER_DATA_BYTES = 49_000;

/** What is the same for all clusters: pinned versions, the lock of the Python packages, the scripts of the guest. */
export interface GuestParts {
  versions: Readonly<Record<string, string>>;
  /** `images/spark-python/requirements.txt`. */
  requirements: string;
  /** A file of `cloud-init/guest`. */
  script: (name: string) => string;
}

/** The parts as this checkout has them. */
export function guestParts(root = join(import.meta.dirname, "..")): GuestParts {
  return {
    versions: pinnedVersions(root),
    requirements: readFileSync(join(root, "images", "spark-python", "requirements.txt"), "utf8"),
    script: (name) => readFileSync(join(root, "render", "cloud-init", "guest", name), "utf8"),
  };
}

let ownParts: GuestParts | undefined;

function partsOfCheckout(): GuestParts {
  ownParts ??= guestParts();
  return ownParts;
}

/**
 * The complete user data of one machine. Marks of secrets and images stand in it as they are: whoever creates the machine
 * fills them in. The same input gives the same bytes.
 */
export function renderUserData(cluster: Cluster, machine: Machine, parts = partsOfCheckout()): string {
  const files = writtenFiles(cluster, machine, parts);
  const document = {
    hostname: `${cluster.name}-${machine.name}`,
    preserve_hostname: false,
    manage_etc_hosts: false,
    // 1000 is the number of the user in every container, and must not be that of someone who may become root.
    user: { name: cluster.config.sshUser, uid: LOGIN_UID },
    disable_root: true,
    ssh_pwauth: false,
    // The other kinds take seconds to make, and nothing needs them.
    ssh_genkeytypes: ["ed25519"],
    ssh_quiet_keygen: true,
    locale: "C.UTF-8",
    apt: { preserve_sources_list: true },
    // triplewide-boot installs what is needed, and while images are pulled.
    package_update: false,
    package_upgrade: false,
    write_files: files.map(({ path, mode, content }) => ({ path, permissions: mode, content: literal(content) })),
    runcmd: [["/usr/local/sbin/triplewide-boot"]],
  };
  // cloud-init reads YAML 1.1, in which `yes` and 0600 are no text. Little indentation: there are a thousand lines.
  const yaml = stringify(document, { version: "1.1", lineWidth: 0, indent: 1, indentSeq: false });
  const text = `#cloud-config\n${yaml}`;
  const bytes = filledLength(text);
  if (bytes > MAX_USER_DATA_BYTES) throw new Error(tooLarge(machine, bytes, files));
  return text;
}

/**
 * What a group must achieve together, as `triplewide-ready --cluster` reads it from its standard input: a line for each gate.
 * Not part of user data: gates count agents, and one more agent must not replace the masters.
 */
export function renderGates(cluster: Cluster, group: Group): string {
  const first = cluster.machines.find((m) => m.group === group);
  const services = cluster.services.filter((s) => s.machine === first?.name);
  return cluster.gates
    .filter((gate) => gate.group === group)
    .map((gate) => `${gate.what}\t${words(onHost(gate.command, services))}\n`)
    .join("");
}

interface WrittenFile {
  path: string;
  mode: string;
  content: string;
}

const LOGIN_UID = 2000;

const words = (argv: readonly string[]): string => argv.map(shellWord).join(" ");

/** Text that stands in YAML as it is, whatever a mark in it will become. */
function literal(content: string): Scalar<string> {
  const scalar = new Scalar(content);
  scalar.type = "BLOCK_LITERAL";
  return scalar;
}

/** Bytes once marks are filled in: images by registry and digest, secrets of 32 characters. */
function filledLength(text: string): number {
  const filled = text.replace(/\{\{image:[^}]*\}\}/g, "x".repeat(160)).replace(/\{\{secret:[^}]*\}\}/g, "x".repeat(40));
  return Buffer.byteLength(filled);
}

function tooLarge(machine: Machine, bytes: number, files: readonly WrittenFile[]): string {
  const largest = files
    .map((f) => ({ path: f.path, bytes: filledLength(f.content) }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 5)
    .map((f) => `${f.path} (${f.bytes})`);
  return `the user data of ${machine.name} takes ${bytes} bytes, and a machine can have ${MAX_USER_DATA_BYTES}. Largest: ${largest.join(", ")}`;
}

function writtenFiles(cluster: Cluster, machine: Machine, parts: GuestParts): WrittenFile[] {
  const services = cluster.services.filter((s) => s.machine === machine.name);
  const software = softwareOf(cluster, services, parts);
  const files = [
    { path: `${CONF}/machine.env`, mode: "0600", content: machineEnv(cluster, machine, services, software) },
    ...system(cluster, machine, parts),
    ...(software.docker ? docker(cluster, parts) : []),
    ...(software.images.length > 0
      ? [
          command("executor-image", parts),
          unit("images.service", imagesUnit(software.images, driversPython(cluster.config, parts))),
        ]
      : []),
    ...(software.mesosSource !== "" || software.mesosAgent !== "" ? [library("mesos", parts)] : []),
    ...(software.python
      ? [
          library("python", parts),
          library("unpack-lock", parts),
          { path: `${CONF}/python-lock`, mode: "0644", content: packLock(parts.requirements) },
        ]
      : []),
    ...(machine.volumeGb > 0 ? [command("volume", parts), unit("volume.service", volumeUnit())] : []),
    ...(services.length > 0
      ? [command("retry", parts), unit("retry.service", retryUnit()), unit("retry.timer", retryTimer())]
      : []),
    ...services.flatMap((service) => serviceFiles(machine, service, services)),
  ];
  return withoutCopies(files);
}

/** Each path once; two services that want different things there are a mistake in the cluster's definition. */
function withoutCopies(files: readonly WrittenFile[]): WrittenFile[] {
  const byPath = new Map<string, WrittenFile>();
  for (const file of files) {
    const other = byPath.get(file.path);
    if (other && (other.content !== file.content || other.mode !== file.mode)) {
      throw new Error(`two services want different files at ${file.path}`);
    }
    byPath.set(file.path, file);
  }
  return [...byPath.values()];
}

const command = (name: string, parts: GuestParts): WrittenFile => ({
  path: `/usr/local/sbin/triplewide-${name}`,
  mode: "0755",
  content: parts.script(name),
});

const library = (name: string, parts: GuestParts): WrittenFile => ({
  path: `/usr/local/lib/triplewide/${name}`,
  mode: "0644",
  content: parts.script(name),
});

const unit = (name: string, content: Unit): WrittenFile => ({
  path: `/etc/systemd/system/${unitName(name)}`,
  mode: "0644",
  content: unitFile(content),
});

/** What every machine has, with services or without. */
function system(cluster: Cluster, machine: Machine, parts: GuestParts): WrittenFile[] {
  return [
    command("boot", parts),
    command("ready", parts),
    command("metadata", parts),
    unit("boot.service", bootUnit()),
    unit("metadata.service", metadataUnit()),
    { path: "/etc/hosts", mode: "0644", content: hosts(cluster, machine) },
    { path: "/etc/ssh/sshd_config.d/00-triplewide.conf", mode: "0644", content: sshd(machine) },
    {
      path: "/etc/systemd/journald.conf.d/triplewide.conf",
      mode: "0644",
      content: "[Journal]\nStorage=persistent\nSystemMaxUse=1G\nSystemKeepFree=1G\n",
    },
  ];
}

/** Names of the machines that a cluster has for as long as it lives, and of this one. */
function hosts(cluster: Cluster, machine: Machine): string {
  const lasting = cluster.machines.filter((m) => (m.group !== "agent" && m.group !== "datanode") || m === machine);
  return [
    "127.0.0.1 localhost",
    "::1 localhost ip6-localhost ip6-loopback",
    ...lasting.map((m) => `${m.address} ${cluster.name}-${m.name} ${m.name}`),
    "",
  ].join("\n");
}

function sshd(machine: Machine): string {
  return [
    "PermitRootLogin no",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "X11Forwarding no",
    "AllowAgentForwarding no",
    "AllowTcpForwarding yes",
    "LoginGraceTime 30",
    "MaxAuthTries 4",
    "ClientAliveInterval 30",
    // While a large cluster comes up, connections to all of its machines go through the bastion at once.
    ...(machine.group === "bastion" ? ["MaxStartups 200:30:500", "MaxSessions 500"] : []),
    "",
  ].join("\n");
}

/** What is installed on a machine before its services start. */
interface Software {
  docker: boolean;
  /** Images that tasks run in. */
  images: string[];
  /** Where Mesos comes from; empty where no process of the machine needs it. */
  mesosSource: string;
  /** The agent's program, or the image that holds it; empty where there is no agent. */
  mesosAgent: string;
  /** Version of Python for which the image's packages are needed on the machine itself; empty where they are not. */
  python: string;
  /** Needed before anything can be fetched. */
  firstPackages: string[];
  packages: string[];
  maskedUnits: string[];
}

function softwareOf(cluster: Cluster, services: readonly Service[], parts: GuestParts): Software {
  const c = cluster.config;
  const named = (name: string): Service | undefined => services.find((s) => s.name === name);
  const agent = named("mesos-agent");
  const native = services.some((s) => s.runtime === "systemd" && s.name.startsWith("mesos-"));
  const mesosSource = native ? c.mesosSource : "";
  const docker = services.some((s) => pullsImages(c, s));
  const python = c.architecture === "vanilla" && agent ? (parts.versions.PYTHON_VERSION ?? "") : "";
  const registry = named("registry") !== undefined;
  return {
    docker,
    // Every executor starts in it, so it should not be the first job that waits for it.
    images: services.some(startsContainers) ? [image("spark-python")] : [],
    mesosSource,
    mesosAgent: agent ? (agent.runtime === "docker" ? image(agent.image) : (agent.command[0] ?? "")) : "",
    python,
    firstPackages: [
      ...(docker ? ["docker.io", "apparmor"] : []),
      ...(mesosSource !== "" ? ["ca-certificates", "curl"] : []),
    ],
    packages: [
      ...(registry ? ["docker-registry", "apache2-utils"] : []),
      ...(python ? [`openjdk-${parts.versions.JAVA_VERSION}-jre-headless`, `python${python}-venv`] : []),
    ],
    // Packages start services of their own as soon as they are installed: on our ports, and without a password.
    maskedUnits: [
      ...(registry ? ["docker-registry.service"] : []),
      ...(/^deb\+|\.deb(#|$)/.test(mesosSource)
        ? ["mesos-master.service", "mesos-slave.service", "mesos-agent.service", "zookeeper.service"]
        : []),
    ],
  };
}

/** Version of Python that drivers have: the client's, where that is an image of ours. */
const driversPython = (c: Config, parts: GuestParts): string =>
  "client" in c.prebuiltImages ? "" : (parts.versions.PYTHON_VERSION ?? "");

/** What the guest's scripts need to know of their machine: a file of shell variables. */
function machineEnv(cluster: Cluster, machine: Machine, services: readonly Service[], software: Software): string {
  const c = cluster.config;
  const login = pullLogin(cluster);
  const registry = services.some((s) => s.name === "registry");
  // The agent in a container starts when its control groups are known to fit, the others as soon as there is Docker.
  const early = services.filter((s) => s.runtime === "docker" && s.name !== "mesos-agent");
  const late = services.filter((s) => !early.includes(s));
  const units = (list: readonly Service[]): string[] => list.map((s) => unitName(s.name));
  const images = software.images.length > 0 ? [unitName("images")] : [];
  const volume = machine.volumeGb > 0 ? [unitName("volume")] : [];
  const text = (name: string, value: string): string => `${name}=${value === "" ? "" : shellWord(value)}\n`;
  const list = (name: string, values: readonly string[]): string => `${name}=(${words(values)})\n`;
  return [
    text("NAME", machine.name),
    text("VOLUME_GB", String(machine.volumeGb)),
    text("APT_MIRROR", c.aptMirror.replace(/\/+$/, "")),
    text("REGISTRY", software.docker ? (login?.server ?? "") : ""),
    text("REGISTRY_USER", software.docker || registry ? (login?.user ?? "") : ""),
    text("MESOS_SOURCE", software.mesosSource),
    text("MESOS_AGENT", software.mesosAgent),
    text("PYTHON", software.python),
    text("PYTHON_INDEX", software.python ? c.pythonIndex : ""),
    list("FIRST_PACKAGES", software.firstPackages),
    list("PACKAGES", software.packages),
    list("MASKED_UNITS", software.maskedUnits),
    list("EARLY_UNITS", [...volume, ...(services.length > 0 ? [`${unitName("retry")}.timer`] : [])]),
    list("CONTAINER_UNITS", [...units(early), ...images]),
    list("LATE_UNITS", units(late)),
    "# All that must be well for the machine to be ready.\n",
    list("UNITS", [unitName("metadata"), ...volume, ...images, ...units(services)]),
  ].join("");
}

/** Docker's settings, and the password by which images are pulled. */
function docker(cluster: Cluster, parts: GuestParts): WrittenFile[] {
  const login = pullLogin(cluster);
  const daemon = {
    "log-driver": "local",
    "log-opts": { "max-size": "20m", "max-file": "5" },
    "live-restore": true,
    // The cluster's own registry speaks plain HTTP, inside the private network.
    ...(hasRegistry(cluster.config) && login ? { "insecure-registries": [login.server] } : {}),
  };
  return [
    { path: "/etc/docker/daemon.json", mode: "0644", content: `${JSON.stringify(daemon, null, 2)}\n` },
    command("pull", parts),
    command("container", parts),
    ...(login ? [{ path: `${CONF}/pull-password`, mode: "0600", content: secret(login.secret) }] : []),
  ];
}

function serviceFiles(machine: Machine, service: Service, here: readonly Service[]): WrittenFile[] {
  const env = service.runtime === "docker" ? dockerEnvFile(service.env) : environmentFile(service.env);
  const probe = ["timeout", String(service.health.timeoutSeconds), ...onHost(service.health.command, here)];
  return [
    unit(`${service.name}.service`, serviceUnit(machine, service, here)),
    { path: envFile(service), mode: "0600", content: env },
    ...service.files.map((f) => ({ path: hostFile(service, f, here), mode: f.mode, content: f.content })),
    { path: `${CONF}/health/${service.name}`, mode: "0700", content: `#!/bin/bash\nexec ${words(probe)}\n` },
  ];
}
