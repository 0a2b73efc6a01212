import { resolve } from "node:path";
import type { Command } from "commander";
import { localReference } from "../cluster/images.ts";
import { describeCluster } from "../cluster/load.ts";
import type { Config } from "../config/schema.ts";
import { pinnedVersions } from "../lib/checkout.ts";
import { ROOT } from "../lib/root.ts";
import { say } from "../lib/terminal.ts";
import { type BackupRequest, restore as readBackup, backup as writeBackup } from "../local/backup.ts";
import { findDocker } from "../local/docker.ts";
import { projectOf, runningContainers } from "../local/project.ts";
import { up as bringUp } from "../local/up.ts";
import { volumeName } from "../render/compose.ts";
import { type LocalOptions, localCommand, localConfig } from "./local.ts";

/** The error's advice for a cluster on OpenStack. */
const onOpenStack = (cluster: string): string =>
  `snapshot its volumes with the cloud's own tools (openstack volume snapshot create --volume ${cluster}-master-1-data …)`;

async function requestFor(config: Config, folder: string): Promise<BackupRequest> {
  return {
    d: await findDocker(),
    project: projectOf(ROOT, config.clusterName),
    architecture: config.architecture,
    image: localReference("spark-python", config, pinnedVersions(ROOT)),
    folder: resolve(folder),
    say,
  };
}

/** `triplewide backup`. */
export function backup(): Command {
  return localCommand(
    "backup",
    "Writes the data of the cluster on this machine's Docker into a folder.",
    "Every volume with data becomes an archive, beside the secrets that the data is locked with: keep the folder as you keep those. The cluster stands still meanwhile, and goes on where it ran.",
    ["triplewide backup /srv/backups/2026-11-26"],
  )
    .argument("<folder>", "folder for this backup alone")
    .action(async (folder: string, options: LocalOptions) => {
      const config = localConfig(options, onOpenStack);
      const request = await requestFor(config, folder);
      const ran = await runningContainers(request.d, request.project);
      try {
        await writeBackup(request);
      } finally {
        // If the backup was refused, no container was stopped.
        const still = new Set(await runningContainers(request.d, request.project));
        if (!ran.every((id) => still.has(id)))
          await bringUp({ root: ROOT, environment: options.env, config, smoke: false });
      }
      say(`Backup written to ${request.folder}. It holds the cluster's secrets.`);
    });
}

interface RestoreOptions extends LocalOptions {
  replace: boolean;
}

/** `triplewide restore`. */
export function restore(): Command {
  return localCommand(
    "restore",
    "Brings a cluster up on this machine's Docker with the data of a backup.",
    "The cluster may have another name, network and ports than the one that the backup is of; its architecture is the same.",
    ["triplewide restore /srv/backups/2026-11-26", "triplewide restore /srv/backups/2026-11-26 --replace"],
  )
    .argument("<folder>", "folder that `triplewide backup` wrote")
    .option("--replace", "remove what the cluster's volumes hold now", false)
    .action(async (folder: string, options: RestoreOptions) => {
      const config = localConfig(options, onOpenStack);
      const request = await requestFor(config, folder);
      const wanted = describeCluster(config).services.flatMap((service) =>
        service.dirs.filter(({ lasts }) => lasts === "data").map((dir) => volumeName(service, dir)),
      );
      await readBackup({ ...request, wanted, replace: options.replace });
      await bringUp({ root: ROOT, environment: options.env, config, smoke: false });
      say(`Restored from ${request.folder}.`);
    });
}
