import type { ImageName } from "../../cluster/image-catalogue.ts";
import { limitsOf, TMP_OPTIONS } from "../../cluster/limits.ts";
import { SPARK_UID } from "../../cluster/services/spark/spark.ts";
import type { Machine } from "../../cluster/types.ts";
import { shellWord } from "../../lib/quote.ts";
import { containerCommand, containerImage } from "../container.ts";
import type { RenderedContent, RenderedService } from "../content.ts";
import { envFile, fromElsewhere, hostDir, hostFile, unitName, volumeBelow } from "./paths.ts";
import { execLine, type Unit } from "./systemd.ts";

/** Seconds in which a service may end by itself before it is killed. */
const STOP_SECONDS = 30;
/** Seconds that pulling images may take. */
const PULL_SECONDS = 1800;

const SBIN = "/usr/local/sbin";

/** The reference by which a machine pulls an image. */
export type ImageOf = (name: ImageName) => string;

/** The unit that keeps a service running. */
export function serviceUnit(
  machine: Machine,
  service: RenderedService,
  here: readonly RenderedService[],
  imageOf: ImageOf,
): Unit {
  const volume = service.dirs.map((dir) => volumeBelow(machine, dir)).find((mount) => mount !== undefined);
  const mounted = service.dirs
    .filter((dir) => fromElsewhere(machine, dir))
    .map((dir) => hostDir(machine, service, dir));
  // `Wants`, not `Requires`: that would restart a service whenever one that it started after restarts, and with the Docker
  // daemon all of them, although their containers go on.
  const before = [
    ...service.after.map((name) => `${unitName(name)}.service`),
    ...(service.runtime === "docker" || service.startsContainers ? ["docker.service"] : []),
    ...(volume ? [`${unitName("volume")}.service`] : []),
    ...(mounted.length > 0 ? [`${unitName("shared")}.service`] : []),
  ];
  return {
    Unit: [
      `Description=triplewide ${service.name} on ${machine.name}`,
      `Wants=${["network-online.target", ...before].join(" ")}`,
      `After=${["network-online.target", ...before].join(" ")}`,
      ...(volume ? [`RequiresMountsFor=${volume}`] : []),
      // Long enough for the machines that this one waits for to come up; then it counts as failed.
      "StartLimitIntervalSec=900",
      "StartLimitBurst=30",
    ],
    Service: [
      "Type=exec",
      // Its directories must be on the volume, never below an empty mount point.
      ...[...(volume ? [volume] : []), ...mounted].map(
        (path) => `ExecStartPre=${execLine(["/usr/bin/mountpoint", "-q", path])}`,
      ),
      // As root (+), whoever the service itself runs as.
      ...prepareFiles(machine, service, here).map((argv) => `ExecStartPre=+${execLine(argv)}`),
      ...(service.prepare ? [`ExecStartPre=+${execLine(service.prepare)}`] : []),
      ...(service.runtime === "docker" ? inContainer(machine, service, here, imageOf) : onMachine(machine, service)),
      "Restart=always",
      "RestartSec=10",
      // Ended by SIGTERM, as systemd and Docker do it: no failure.
      "SuccessExitStatus=143",
      `TimeoutStartSec=${PULL_SECONDS}`,
      `TimeoutStopSec=${2 * STOP_SECONDS}`,
    ],
    Install: ["WantedBy=multi-user.target"],
  };
}

/**
 * Mounts a folder at another path as well, unless that is done already. A symbolic link would not do: some programs refuse to follow one.
 */
const bindMount = (from: string, to: string): string[] => [
  "/usr/bin/bash",
  "-c",
  `mountpoint -q ${shellWord(to)} || mount --bind ${shellWord(from)} ${shellWord(to)}`,
];

/**
 * Gives a folder of an older release, and what is in it, to its user. The folder itself comes last, so that an interrupted run is done
 * again.
 */
const handOver = (folder: string, from: number, to: number): string[] => [
  "/usr/bin/bash",
  "-c",
  `[[ $(stat -c %u ${shellWord(folder)} 2>/dev/null) != ${from} ]] || chown -R ${to}:${to} ${shellWord(folder)}`,
];

/** Owners by number: no user of that name need exist. Once more at every start, because it costs nothing. */
function prepareFiles(machine: Machine, service: RenderedService, here: readonly RenderedService[]): string[][] {
  const ownerOf = (f: RenderedContent): number => (f.mode === "0600" ? (f.uid ?? service.uid) : 0);
  const commands = [...Map.groupBy(service.files, ownerOf)]
    .filter(([uid]) => uid !== 0)
    .map(([uid, files]) => ["/usr/bin/chown", `${uid}:${uid}`, ...files.map((f) => hostFile(service, f, here))]);
  for (const dir of service.dirs) {
    const host = hostDir(machine, service, dir);
    if (fromElsewhere(machine, dir)) continue;
    if (dir.shared === "machine") {
      commands.push(["/usr/bin/install", "-d", "-m", "1777", host]);
      continue;
    }
    // Services that run as root start others, as other users, inside their folders: those must be able to enter. Folders that the cluster
    // shares belong to Spark's user.
    const owner = dir.passable ? 0 : dir.shared === "cluster" ? SPARK_UID : service.uid;
    const mode = dir.passable ? "0711" : owner === 0 ? "0755" : "0700";
    if (dir.formerly !== undefined) commands.push(handOver(host, dir.formerly, owner));
    commands.push(["/usr/bin/install", "-d", "-m", mode, "-o", `${owner}`, "-g", `${owner}`, host]);
    if (dir.shared === "cluster") {
      const there = dir.at ?? dir.path;
      if (service.runtime === "systemd") commands.push(["/usr/bin/install", "-d", there], bindMount(host, there));
    } else if (service.runtime === "systemd" && host !== dir.path)
      commands.push(["/usr/bin/ln", "-sfnT", host, dir.path]);
  }
  return commands;
}

function inContainer(
  machine: Machine,
  service: RenderedService,
  here: readonly RenderedService[],
  imageOf: ImageOf,
): string[] {
  const reference = imageOf(containerImage(service));
  const needs = new Set(service.needs);
  const limits = limitsOf(service);
  const mount = (source: string, target: string, ...options: string[]): string[] => [
    "--mount",
    ["type=bind", `source=${source}`, `target=${target}`, ...options].join(","),
  ];
  const run = [
    "--user",
    String(service.uid),
    "--ulimit",
    `nofile=${limits.openFiles}:${limits.openFiles}`,
    "--pids-limit",
    String(limits.processes),
    ...(service.memoryMiB !== undefined ? ["--memory", `${service.memoryMiB}m`] : []),
    ...(service.shmMiB !== undefined ? ["--shm-size", `${service.shmMiB}m`] : []),
    ...(service.devices ?? []).flatMap((path) => ["--device", path]),
    ...(limits.capabilities === "all"
      ? []
      : [...["--cap-drop", "ALL"], ...limits.capabilities.flatMap((name) => ["--cap-add", name])]),
    ...(limits.readOnly ? ["--read-only", "--tmpfs", `/tmp:${TMP_OPTIONS}`] : []),
    ...(needs.has("host-pid") ? ["--pid", "host"] : []),
    // Mesos makes control groups and mounts for its tasks, which no smaller set of rights allows.
    ...(needs.has("cgroup")
      ? ["--privileged", "--cgroupns", "host", ...mount("/sys/fs/cgroup", "/sys/fs/cgroup")]
      : []),
    ...(needs.has("docker-socket") ? mount("/run/docker.sock", "/run/docker.sock") : []),
    ...service.files.flatMap((f) => mount(hostFile(service, f, here), f.path, "readonly")),
    ...service.dirs.flatMap((dir) => mount(hostDir(machine, service, dir), dir.path)),
    reference,
    ...containerCommand(service),
  ];
  return [
    `ExecStartPre=${execLine([`${SBIN}/triplewide-pull`, reference])}`,
    `ExecStart=${execLine([`${SBIN}/triplewide-container`, service.name, ...run])}`,
    // The client alone is in this unit; the limits of the container itself are in the command above.
    "KillMode=mixed",
    "LimitNOFILE=4096",
    "TasksMax=64",
    "MemoryMax=256M",
  ];
}

function onMachine(machine: Machine, service: RenderedService): string[] {
  const { hardening = {} } = service;
  const limits = limitsOf(service);
  return [
    `ExecStart=${execLine(service.command)}`,
    ...(service.uid === 0 ? [] : [`User=${service.uid}`]),
    `EnvironmentFile=${envFile(service)}`,
    `LimitNOFILE=${limits.openFiles}`,
    // What it starts counts towards its limit, until it has put that into a control group of its own.
    `TasksMax=${hardening.keepsChildren ? "infinity" : limits.processes}`,
    ...(service.memoryMiB !== undefined ? [`MemoryMax=${service.memoryMiB}M`] : []),
    "NoNewPrivileges=yes",
    ...(limits.capabilities === "all"
      ? []
      : [`CapabilityBoundingSet=${limits.capabilities.map((name) => `CAP_${name}`).join(" ")}`]),
    ...(limits.readOnly
      ? [
          "ProtectSystem=strict",
          "PrivateTmp=yes",
          "ProtectHome=yes",
          // They may not be there yet when the unit's first command, which makes them, begins.
          ...service.dirs.map((dir) => `ReadWritePaths=-${hostDir(machine, service, dir)}`),
        ]
      : []),
    // What it started outlives it: it finds that again when it comes back.
    ...(hardening.keepsChildren ? ["KillMode=process", "Delegate=yes"] : []),
    ...(hardening.dockerConfig ? [`Environment=DOCKER_CONFIG=${hardening.dockerConfig}`] : []),
  ];
}

/**
 * Pulls the images that executors run in before the first job needs them, and checks that they hold the Python of drivers.
 *
 * @param images References of those images.
 *
 * @param python Version of Python that drivers have; `undefined` where the client image is not built here and its version is unknown.
 */
export function imagesUnit(images: readonly string[], python: string | undefined): Unit {
  return {
    Unit: [
      "Description=triplewide images of tasks",
      "Wants=network-online.target docker.service",
      "After=network-online.target docker.service",
    ],
    Service: [
      "Type=oneshot",
      "RemainAfterExit=yes",
      ...images.map(
        (reference) => `ExecStart=${execLine([`${SBIN}/triplewide-executor-image`, reference, python ?? ""])}`,
      ),
      "Restart=on-failure",
      "RestartSec=30",
      `TimeoutStartSec=${PULL_SECONDS}`,
    ],
    Install: ["WantedBy=multi-user.target"],
  };
}

/** Makes of the machine what an image is taken of, when cloud-init has ended. */
export function imageUnit(): Unit {
  return {
    Unit: [
      "Description=triplewide image",
      "Wants=network-online.target",
      "After=network-online.target cloud-final.service",
    ],
    Service: ["Type=exec", `ExecStart=${SBIN}/triplewide-image`, "StandardOutput=journal+console"],
  };
}

/** Formats the machine's volume where it is empty, and mounts it. */
export function volumeUnit(): Unit {
  return {
    Unit: ["Description=triplewide volume", "StartLimitIntervalSec=900", "StartLimitBurst=3"],
    Service: [
      "Type=oneshot",
      "RemainAfterExit=yes",
      `ExecStart=${SBIN}/triplewide-volume`,
      "Restart=on-failure",
      "RestartSec=5",
      "TimeoutStartSec=600",
    ],
    Install: ["WantedBy=multi-user.target"],
  };
}

/** Mounts the folder that the cluster's machines share. */
export function sharedUnit(): Unit {
  return {
    Unit: [
      "Description=triplewide shared folder",
      "Wants=network-online.target",
      "After=network-online.target",
      "StartLimitIntervalSec=900",
      "StartLimitBurst=30",
    ],
    Service: [
      "Type=oneshot",
      "RemainAfterExit=yes",
      `ExecStart=${SBIN}/triplewide-shared`,
      "Restart=on-failure",
      "RestartSec=10",
      "TimeoutStartSec=infinity",
    ],
    Install: ["WantedBy=multi-user.target"],
  };
}

/** Closes the metadata address to every user but root. */
export function metadataUnit(): Unit {
  return {
    Unit: [
      "Description=triplewide: the metadata address is root's alone",
      // Before there is a network, so there is no moment in which it is open.
      "DefaultDependencies=no",
      "Wants=network-pre.target",
      "Before=network-pre.target shutdown.target",
      "Conflicts=shutdown.target",
    ],
    Service: ["Type=oneshot", "RemainAfterExit=yes", `ExecStart=${SBIN}/triplewide-metadata`],
    Install: ["WantedBy=sysinit.target"],
  };
}

/** Goes on with a first boot that a reboot has cut short. */
export function bootUnit(): Unit {
  return {
    Unit: [
      "Description=triplewide first boot",
      "ConditionPathExists=!/var/lib/triplewide/booted",
      "Wants=network-online.target",
      "After=network-online.target",
    ],
    Service: [
      "Type=oneshot",
      `ExecStart=${SBIN}/triplewide-boot`,
      "StandardOutput=append:/var/log/cloud-init-output.log",
      "StandardError=inherit",
      "TimeoutStartSec=infinity",
    ],
    Install: ["WantedBy=multi-user.target"],
  };
}

/** Starts units again whose start limit was reached. */
export function retryUnit(): Unit {
  return {
    Unit: ["Description=triplewide: another chance for units that gave up"],
    Service: ["Type=oneshot", `ExecStart=${SBIN}/triplewide-retry`],
  };
}

/** Runs `retryUnit` regularly. */
export function retryTimer(): Unit {
  return {
    Unit: ["Description=triplewide: another chance for units that gave up"],
    // Rarely, so that a failure is there to be seen before it is tried again.
    Timer: ["OnActiveSec=20min", "OnUnitActiveSec=10min"],
    Install: ["WantedBy=timers.target"],
  };
}
