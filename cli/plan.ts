import { type Command, Option } from "commander";
import { describeCluster, loadConfig } from "../cluster/load.ts";
import { redactedConfig } from "../config/redact.ts";
import { pinnedVersions, readCheckout } from "../lib/checkout.ts";
import { ROOT } from "../lib/root.ts";
import { print, printJson } from "../lib/terminal.ts";
import { mirrorsOf, mirrorsText } from "../render/mirrors.ts";
import { renderPicture } from "../render/picture.ts";
import { planDocument, planText } from "../render/plan.ts";
import { type ConfigOptions, commandOf, projectFolder, setOption } from "./common.ts";

interface Options extends ConfigOptions {
  json: boolean;
  files: boolean;
  picture: boolean;
  mirrors: boolean;
}

/** `triplewide plan`. */
export function plan(): Command {
  return commandOf(
    "plan",
    "Prints the cluster that a config describes.",
    "Machines, addresses, ports, Spark's wiring and quota. Asks no cloud, changes nothing and shows no secret.",
    ["triplewide plan local", "triplewide plan local --json --set architecture=vanilla --set agentCount=1000"],
  )
    .argument("<environment>", "name in Pulumi.<environment>.yaml")
    .option("--json", "print it for programs", false)
    .option("--files", "print every file of every service as well", false)
    .addOption(
      new Option("--picture", "draw machines, services and who may connect, in Mermaid's language")
        .default(false)
        .conflicts(["json", "files"]),
    )
    .addOption(
      new Option("--mirrors", "print only where the cluster's software comes from, and what names another place")
        .default(false)
        .conflicts(["json", "files", "picture"]),
    )
    .addOption(setOption())
    .action((environment: string, options: Options) => {
      const cluster = describeCluster(redactedConfig(loadConfig(projectFolder(), environment, options.set)));
      const versions = pinnedVersions(ROOT);
      if (options.mirrors) {
        print(mirrorsText(cluster, mirrorsOf(cluster, readCheckout())));
        return;
      }
      if (options.json) printJson(planDocument(cluster, versions));
      else print(options.picture ? renderPicture(cluster) : planText(cluster, versions, environment, options.files));
    });
}
