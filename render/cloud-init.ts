import { createHash } from "node:crypto";
import { addressAt } from "../cluster/addresses.ts";
import { GROUPS } from "../cluster/groups.ts";
import { HOST_KEY, HOST_KEY_BYTES } from "../cluster/host-keys.ts";
import { SECRET_NAMES } from "../cluster/secret-names.ts";
import { type PullLogin, pullLogin, pullsImages } from "../cluster/services/registry/registry.ts";
import { SPARK_UID } from "../cluster/services/spark/spark.ts";
import { SHARED_FOLDER, sharedSource } from "../cluster/shared-storage.ts";
import type { Cluster, Group, Machine } from "../cluster/types.ts";
import { fill, image, type LookUp, placeholder, references, secret } from "../cluster/values.ts";
import type { Config } from "../config/schema.ts";
import { SECRET_KEYS } from "../config/secrets.ts";
import type { Checkout } from "../lib/checkout.ts";
import { shellQuote, shellWord, shellWords } from "../lib/quote.ts";
import { cloudConfig, type WrittenFile } from "./cloud-init/document.ts";
import { packLock } from "./cloud-init/lock.ts";
import { aptMirror, outside } from "./cloud-init/outside.ts";
import { MAX_PACKED_BYTES, packUserData } from "./cloud-init/pack.ts";
import { CONF, envFile, fromElsewhere, hostFile, hostPath, unitName, volumeOf } from "./cloud-init/paths.ts";
import { machinePackages, mountsShared, type Software, softwareOf } from "./cloud-init/software.ts";
import { dockerEnvFile, environmentFile, type Unit, unitFile } from "./cloud-init/systemd.ts";
import {
  bootUnit,
  type ImageOf,
  imagesUnit,
  imageUnit,
  metadataUnit,
  retryTimer,
  retryUnit,
  serviceUnit,
  sharedUnit,
  volumeUnit,
} from "./cloud-init/units.ts";
import { type RenderedService, renderService } from "./content.ts";
import { probeCommand } from "./probe.ts";

/**
 * User data: everything that one machine of OpenStack needs to become what the cluster says, as cloud-init reads it. Guests
 * are Debian 12 and Ubuntu 22.04 or later.
 *
 * A machine is replaced when its user data changes. So nothing stands in it that other machines may change without need: not
 * the number of agents or datanodes, nor their addresses.
 */

/** What user data takes from the checkout: pinned versions, the lock of the Python packages, the scripts of the guest. */
export type GuestParts = Pick<Checkout, "versions" | "requirements" | "script">;

/**
 * The complete user data of one machine, as cloud-init reads it; a server gets it packed (`pack.ts`). The same input gives the same bytes.
 *
 * @param lookUp Values of the secrets and images that the machine's services refer to (`userDataReferences`).
 */
export function renderUserData(cluster: Cluster, machine: Machine, parts: GuestParts, lookUp: LookUp): string {
  const files = writtenFiles(cluster, machine, parts, lookUp);
  const document = {
    hostname: `${cluster.name}-${machine.name}`,
    preserve_hostname: false,
    manage_etc_hosts: false,
    // 1000 is the number of the user in every container, and must not be that of someone who may become root.
    user: { name: cluster.config.sshUser, uid: LOGIN_UID },
    disable_root: true,
    ssh_pwauth: false,
    // Known before the machine is: whoever connects compares. No other key is made where one is given.
    ssh_keys: { ecdsa_private: fill(secret(HOST_KEY), lookUp) },
    locale: "C.UTF-8",
    apt: { preserve_sources_list: true },
    // triplewide-boot installs packages, at the same time as it pulls images.
    package_update: false,
    package_upgrade: false,
    runcmd: [["/usr/local/sbin/triplewide-boot"]],
  };
  return cloudConfig(document, files);
}

/**
 * User data of the machine that an image is taken of: it installs what the cluster's machines install at their first boot, removes what
 * is of itself alone, and powers off. There is no secret in it, and no value that is known only later.
 */
export function renderImageUserData(cluster: Cluster, parts: GuestParts): string {
  const c = cluster.config;
  const settings = [
    `APT_MIRROR=${shellWord(aptMirror(c))}\n`,
    `PACKAGES=(${shellWords(machinePackages(cluster, parts))})\n`,
  ];
  return cloudConfig(
    {
      // A login user of the image would get user id 1000, which on machines must not belong to anyone who may log in.
      users: [],
      disable_root: true,
      ssh_pwauth: false,
      preserve_hostname: true,
      manage_etc_hosts: false,
      apt: { preserve_sources_list: true },
      package_update: false,
      package_upgrade: false,
      runcmd: [["systemctl", "start", "--no-block", unitName("image.service")]],
    },
    [
      { path: `${CONF}/image.env`, mode: "0600", content: settings.join("") },
      command("image", parts),
      library("install", parts),
      unit("image.service", imageUnit()),
      ...outside(cluster, false),
    ],
  );
}

/** Where a file of one of a machine's services lies on the machine. */
export function pathOnMachine(cluster: Cluster, machine: Machine, path: string): string {
  const services = cluster.services.filter((s) => s.machine === machine.name);
  return hostPath(services.map((s) => renderService(s, placeholder)))(path);
}

/** The secrets, images and values of the cloud that a machine's user data needs the values of; its host key comes of one of them (`withHostKey`). */
export function userDataReferences(cluster: Cluster, machine: Machine): ReturnType<typeof references> {
  const services = cluster.services.filter((s) => s.machine === machine.name);
  const login = services.some((s) => pullsImages(cluster.config, s)) ? pullLogin(cluster) : undefined;
  const images = services.flatMap((s) => [
    ...(s.runtime === "docker" && s.image !== undefined ? [image(s.image)] : []),
    ...(s.startsContainers ?? []).map(image),
  ]);
  const mounted = mountsShared(machine, services) ? sharedSource(cluster.config, cluster.machines) : [];
  return references([
    services,
    images,
    mounted,
    login ? [secret(login.secret), login.authority] : [],
    secret(SECRET_NAMES.hostKeys),
  ]);
}

/** Text in place of a value that is not known yet: at least as long, and not easier to compress. */
const longest: LookUp = ({ kind, name }) => {
  const characters = kind !== "secret" ? 160 : (LONG_SECRETS[name] ?? 40);
  const parts = Array.from({ length: Math.ceil(characters / 43) }, (_, part) =>
    createHash("sha256").update(`${kind} ${name} ${part}`).digest("base64url"),
  );
  return parts.join("").slice(0, characters);
};

/** Bytes of the secrets that are longer than others: of a key with RSA, 4096 bits. */
const LONG_SECRETS: Readonly<Record<string, number>> = {
  [HOST_KEY]: HOST_KEY_BYTES + 20,
  [SECRET_KEYS.tlsKey]: 3200,
};

/**
 * Finds user data that is too large, before anything is created and before any value is known.
 *
 * @throws Error naming the machine and its largest files.
 */
export function checkUserData(cluster: Cluster, parts: GuestParts): void {
  for (const [machine] of Map.groupBy(cluster.machines, (m) => m.group).values()) {
    if (!machine) continue;
    const bytes = packUserData(renderUserData(cluster, machine, parts, longest)).length;
    if (bytes > MAX_PACKED_BYTES) {
      throw new Error(tooLarge(machine, bytes, writtenFiles(cluster, machine, parts, longest)));
    }
  }
}

/**
 * What a group must achieve together, as `triplewide-ready --cluster` reads it from its standard input: a line for each gate, and
 * before them one for each file that its first machine gets while it runs.
 * Not part of user data: gates count agents, and one more agent must not replace the masters.
 */
export function renderGates(cluster: Cluster, group: Group): string {
  const first = cluster.machines.find((m) => m.group === group);
  const here = cluster.services.filter((s) => s.machine === first?.name).map((s) => renderService(s, placeholder));
  const files = here.flatMap((s) =>
    s.files
      .filter((f) => f.until !== undefined)
      .map((f) => `${hostFile(s, f, here)}\t${Buffer.from(f.content).toString("base64")}\n`),
  );
  const gates = cluster.gates
    .filter((gate) => gate.group === group)
    .map((gate) => `${gate.what}\t${shellWords(probeCommand(gate.probe, hostPath(here)))}\n`);
  return [...files, ...gates].join("");
}

const LOGIN_UID = 2000;

function tooLarge(machine: Machine, bytes: number, files: readonly WrittenFile[]): string {
  const largest = files
    .map((f) => ({ path: f.path, bytes: Buffer.byteLength(f.content) }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 5)
    .map((f) => `${f.path} (${f.bytes})`);
  return `the user data of ${machine.name} takes ${bytes} bytes, compressed and in base64, and a machine can have ${MAX_PACKED_BYTES}. Largest: ${largest.join(", ")}`;
}

function writtenFiles(cluster: Cluster, machine: Machine, parts: GuestParts, lookUp: LookUp): WrittenFile[] {
  const imageOf: ImageOf = (name) => fill(image(name), lookUp);
  const services = cluster.services.filter((s) => s.machine === machine.name).map((s) => renderService(s, lookUp));
  const software = softwareOf(cluster, machine, services, parts, imageOf);
  const files = [
    { path: `${CONF}/machine.env`, mode: "0600", content: machineEnv(cluster, machine, services, software, lookUp) },
    ...system(cluster, machine, parts),
    ...outside(cluster, software.docker),
    ...(software.docker ? docker(cluster, parts, lookUp) : []),
    ...(software.images.length > 0
      ? [
          command("executor-image", parts),
          unit("images.service", imagesUnit(software.images, driversPython(cluster.config, parts))),
        ]
      : []),
    ...(software.mesosSource !== undefined || software.mesosAgent !== undefined ? [library("mesos", parts)] : []),
    ...(software.python
      ? [
          library("python", parts),
          library("unpack-lock", parts),
          { path: `${CONF}/python-lock`, mode: "0644", content: packLock(parts.requirements) },
        ]
      : []),
    ...(mountsShared(machine, services) ? [command("shared", parts), unit("shared.service", sharedUnit())] : []),
    ...(volumeOf(machine) ? [command("volume", parts), unit("volume.service", volumeUnit())] : []),
    ...(services.length > 0
      ? [command("retry", parts), unit("retry.service", retryUnit()), unit("retry.timer", retryTimer())]
      : []),
    ...services.flatMap((service) => (service.commands ?? []).map((name) => command(name, parts))),
    ...services.flatMap((service) => serviceFiles(machine, service, services, imageOf)),
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

/** A script without the lines that are comments, which stand in the repository: user data has little room. */
const withoutComments = (script: string): string => script.replace(/(?<=\n|^)(?!#!)[ \t]*#(?: .*)?\n/g, "");

const guestScript = (name: string, parts: GuestParts): string =>
  withoutComments(parts.script(`render/cloud-init/guest/${name}`));

const command = (name: string, parts: GuestParts): WrittenFile => ({
  path: `/usr/local/sbin/triplewide-${name}`,
  mode: "0755",
  content: guestScript(name, parts),
});

const library = (name: string, parts: GuestParts): WrittenFile => ({
  path: `/usr/local/lib/triplewide/${name}`,
  mode: "0644",
  content: guestScript(name, parts),
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
    library("install", parts),
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
  const lasting = cluster.machines.filter((m) => GROUPS[m.group].lasting || m === machine);
  return [
    "127.0.0.1 localhost",
    "::1 localhost ip6-localhost ip6-loopback",
    ...lasting.map((m) => `${m.address} ${cluster.name}-${m.name} ${m.name}`),
    "",
  ].join("\n");
}

function sshd(machine: Machine): string {
  return [
    // The key that user data gives, and none that the guest image may hold.
    "HostKey /etc/ssh/ssh_host_ecdsa_key",
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
    ...(GROUPS[machine.group].jumpHost ? ["MaxStartups 200:30:500", "MaxSessions 500"] : []),
    "",
  ].join("\n");
}

/** Version of Python that drivers have: the client's, where that is an image of ours. */
const driversPython = (c: Config, parts: GuestParts): string | undefined =>
  "client" in c.prebuiltImages ? undefined : parts.versions.PYTHON_VERSION;

/** A program's path, or an image's reference, which stands between quotes whatever it is. */
const imageOrProgram = (value: string | undefined): string =>
  value === undefined ? "" : value.startsWith("/") ? shellWord(value) : shellQuote(value);

/** What the guest's scripts need to know of their machine: a file of shell variables. */
function machineEnv(
  cluster: Cluster,
  machine: Machine,
  services: readonly RenderedService[],
  software: Software,
  lookUp: LookUp,
): string {
  const c = cluster.config;
  const login = pullLogin(cluster);
  // An agent in a container starts when its control groups are known to fit, the others as soon as there is Docker.
  const early = services.filter((s) => s.runtime === "docker" && s.agentProgram === undefined);
  const late = services.filter((s) => !early.includes(s));
  const units = (list: readonly RenderedService[]): string[] => list.map((s) => unitName(s.name));
  const images = software.images.length > 0 ? [unitName("images")] : [];
  const shared = mountsShared(machine, services) ? [unitName("shared")] : [];
  const mounted = services.flatMap((s) => s.dirs).filter((dir) => fromElsewhere(machine, dir));
  const further = [...new Set(mounted.flatMap(({ at }) => at ?? []))];
  const disk = volumeOf(machine);
  const volume = disk ? [unitName("volume")] : [];
  const text = (name: string, value = ""): string => `${name}=${value === "" ? "" : shellWord(value)}\n`;
  const list = (name: string, values: readonly string[]): string => `${name}=(${shellWords(values)})\n`;
  return [
    text("NAME", machine.name),
    ...(disk
      ? [text("VOLUME_GB", String(disk.gigabytes)), text("VOLUME_LABEL", disk.label), text("VOLUME_MOUNT", disk.mount)]
      : []),
    text("APT_MIRROR", aptMirror(c)),
    text("REGISTRY", software.docker ? login?.server : undefined),
    text("REGISTRY_USER", software.docker ? login?.user : undefined),
    ...(shared.length > 0
      ? [
          text("SHARED_SOURCE", fill(sharedSource(c, cluster.machines), lookUp)),
          text("SHARED_FOLDER", SHARED_FOLDER),
          text("SHARED_UID", String(SPARK_UID)),
          ...(further.length > 0 ? [list("SHARED_FURTHER", further)] : []),
        ]
      : []),
    text("MESOS_SOURCE", software.mesosSource),
    `MESOS_AGENT=${imageOrProgram(software.mesosAgent)}\n`,
    ...(software.mesosAgent !== undefined && c.mesosCgroups !== "auto" ? [text("MESOS_CGROUPS", c.mesosCgroups)] : []),
    text("PYTHON", software.python),
    text("PYTHON_INDEX", software.python ? c.pythonIndex : undefined),
    list("UIDS", usersOf(services).map(String)),
    list("FIRST_PACKAGES", software.firstPackages),
    list("PACKAGES", software.packages),
    list("MASKED_UNITS", software.maskedUnits),
    list("EARLY_UNITS", [...volume, ...(services.length > 0 ? [`${unitName("retry")}.timer`] : [])]),
    list("CONTAINER_UNITS", [...units(early), ...images]),
    list("LATE_UNITS", [...shared, ...units(late)]),
    "# All that must be well for the machine to be ready.\n",
    list("UNITS", [unitName("metadata"), ...volume, ...images, ...shared, ...units(services)]),
  ].join("");
}

/** Users of processes of the machine that it does not have by itself: systemd starts nothing for a number without a name. */
const usersOf = (services: readonly RenderedService[]): number[] => [
  ...new Set(
    services.filter(({ runtime, uid }) => runtime === "systemd" && ![0, SPARK_UID].includes(uid)).map((s) => s.uid),
  ),
];

/** What Docker takes for its bridge where it is not told. */
const DOCKERS_OWN = "172.17.0.0/16";

/** First address of a network with the network's length: where Docker's bridge is. */
const firstAddress = (cidr: string): string => `${addressAt(cidr, 1)}/${cidr.split("/")[1]}`;

/** Docker's settings, the password by which images are pulled, and who vouches for where they are. */
function docker(cluster: Cluster, parts: GuestParts, lookUp: LookUp): WrittenFile[] {
  const login: PullLogin | undefined = pullLogin(cluster);
  const daemon = {
    "log-driver": "local",
    "log-opts": { "max-size": "20m", "max-file": "5" },
    "live-restore": true,
    ...(cluster.config.dockerCidr === DOCKERS_OWN ? {} : { bip: firstAddress(cluster.config.dockerCidr) }),
  };
  return [
    { path: "/etc/docker/daemon.json", mode: "0644", content: `${JSON.stringify(daemon, null, 2)}\n` },
    command("pull", parts),
    command("container", parts),
    // Docker trusts that authority for that registry alone, and reads the file whenever it connects.
    ...(login?.authority
      ? [
          {
            path: `/etc/docker/certs.d/${login.server}/ca.crt`,
            mode: "0644",
            content: fill(login.authority, lookUp),
          },
        ]
      : []),
    ...(login ? [{ path: `${CONF}/pull-password`, mode: "0600", content: fill(secret(login.secret), lookUp) }] : []),
  ];
}

function serviceFiles(
  machine: Machine,
  service: RenderedService,
  here: readonly RenderedService[],
  imageOf: ImageOf,
): WrittenFile[] {
  const env = service.runtime === "docker" ? dockerEnvFile(service.env) : environmentFile(service.env);
  const probe = [
    "timeout",
    String(service.health.timeoutSeconds),
    ...probeCommand(service.health.probe, hostPath(here)),
  ];
  return [
    unit(`${service.name}.service`, serviceUnit(machine, service, here, imageOf)),
    { path: envFile(service), mode: "0600", content: env },
    ...service.files.map((f) => ({
      path: hostFile(service, f, here),
      mode: f.mode,
      // What `up` gives to the running machine (`renderGates`) must not replace it.
      content: f.until ?? (/^07/.test(f.mode) ? withoutComments(f.content) : f.content),
    })),
    { path: `${CONF}/health/${service.name}`, mode: "0700", content: `#!/bin/bash\nexec ${shellWords(probe)}\n` },
  ];
}
