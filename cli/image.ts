import type { Command } from "commander";
import { describeCluster, loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import { readCheckout } from "../lib/checkout.ts";
import { EXIT_INTERRUPTED, UserError } from "../lib/errors.ts";
import { abortOnInterrupt, remark, say } from "../lib/terminal.ts";
import { Cloud } from "../openstack/cloud.ts";
import { makeImage } from "../openstack/image-build.ts";
import { type ImagePlan, planImage } from "../openstack/image-plan.ts";
import { packUserData } from "../render/cloud-init/pack.ts";
import { machinePackages } from "../render/cloud-init/software.ts";
import { renderImageUserData } from "../render/cloud-init.ts";
import { type ConfigOptions, commandOf, projectFolder, seconds, setOption } from "./common.ts";

interface Options extends ConfigOptions {
  from?: string;
  flavor?: string;
  network?: string;
  timeout: number;
  again: boolean;
  dryRun: boolean;
}

/** `triplewide image`. */
export function image(): Command {
  return commandOf(
    "image",
    "Makes an image in which the packages of a cluster's machines are there already.",
    "First boot is then shorter, and needs no package mirror. A server boots from the config's image on a network of its own, installs what any machine of the cluster would, and powers off; the cloud takes the image, and everything else is deleted again. Containers and Python packages are not in it. docs/OPERATIONS.md says when it is of use.",
    ["triplewide image prod --dry-run", "triplewide image prod --from debian-12"],
  )
    .argument("<environment>", "name in Pulumi.<environment>.yaml")
    .option(
      "--from <image>",
      "name or id of the image to start from (default: the config's, or the one that it was made of)",
    )
    .option("--flavor <flavor>", "flavor of the server (default: the one with the smallest disk that will do)")
    .option(
      "--network <id>",
      "network with a way to the package mirrors (default: existingNetworkId, or one of its own)",
    )
    .option("--timeout <seconds>", "how long to wait for the server, and then for the image", seconds, 1800)
    .option("--again", "make one although there is one of the same source, packages and version", false)
    .option("--dry-run", "say what it would do, and change nothing", false)
    .addOption(setOption())
    .action(async (environment: string, options: Options) => {
      const config = loadConfig(projectFolder(), environment, options.set);
      if (!platformOf(config).servers)
        throw new UserError("image is for a cluster on OpenStack: on this machine's Docker no machine boots");
      const cluster = describeCluster(config);
      const parts = readCheckout();
      const version = parts.versions.TRIPLEWIDE_VERSION ?? "";
      const packages = machinePackages(cluster, parts);
      const now = new Date();
      await Cloud.with({ folder: projectFolder() }, async (cloud) => {
        const { from, flavor, network } = options;
        const wishes = { ...(from && { from }), ...(flavor && { flavor }), ...(network && { network }) };
        const plan = await planImage({ cluster, cloud, packages, version, now, ...wishes });
        for (const warning of plan.warnings) remark(`warning: ${warning}\n`);
        if (plan.upToDate && !options.again) {
          say(`There is one already, of the same source, packages and version (another one: --again).`);
          sayHow(environment, plan.upToDate.name, plan.upToDate.id);
          return;
        }
        sayPlan(plan);
        if (options.dryRun) {
          say("Nothing was changed (--dry-run).");
          return;
        }
        const userData = packUserData(renderImageUserData(cluster, parts));
        const limits = { bootSeconds: options.timeout, imageSeconds: options.timeout };
        const id = await interruptible((signal) =>
          makeImage({ cluster, cloud, plan, version, userData, limits, signal, report: say, now }),
        );
        if (id !== undefined) sayHow(environment, plan.name, id);
      });
    });
}

function sayPlan({ name, source, flavor, volume, networkId, externalNetwork, packages }: ImagePlan): void {
  say(`Image ${name}`);
  say(`  from      ${source.name} (${source.id})`);
  say(
    `  server    ${flavor.name}: ${flavor.vcpus} vCPUs, ${flavor.ramMiB} MiB, ${volume ? `a volume of ${volume.sizeGb} GB` : `${flavor.diskGb} GB of disk`}, which machines then need`,
  );
  say(`  network   ${networkId ?? `one of its own, with a router to ${externalNetwork?.name}`}`);
  say(`  packages  ${packages.join(", ")}`);
}

function sayHow(environment: string, name: string, id: string): void {
  say(`Image ${name} (${id}). In Pulumi.${environment}.yaml:`);
  say(`  triplewide:image: ${name}`);
  say("A cluster that is up then gets new machines with the next `pulumi up`.");
}

/** Lets Ctrl-C end the work, which then cleans up. A second Ctrl-C does not end the clean-up. @returns `undefined` if it was ended. */
async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
  const interruption = abortOnInterrupt({
    first: () => say("\nInterrupted: deleting what was made for the image."),
  });
  try {
    return await work(interruption.signal);
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    process.exitCode = EXIT_INTERRUPTED;
    return undefined;
  } finally {
    interruption.stop();
  }
}
