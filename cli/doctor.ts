import type { Command } from "commander";
import { checkToday, describeCluster, loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import { certificateEnd, dayOf } from "../cluster/services/gateway/rules.ts";
import type { Cluster } from "../cluster/types.ts";
import { ConfigError } from "../config/problems.ts";
import { readCheckout } from "../lib/checkout.ts";
import { type Check, checksText, ok, problem, warning } from "../lib/checks.ts";
import { EXIT_FAILED } from "../lib/errors.ts";
import { ROOT } from "../lib/root.ts";
import { print, printJson, remark } from "../lib/terminal.ts";
import { checkNode, checkPackages, checkPulumi, checkSsh } from "../local/checks.ts";
import { checkDocker } from "../local/docker-checks.ts";
import { checkCloud } from "../openstack/checks.ts";
import { machinePackages } from "../render/cloud-init/software.ts";
import { missingBeforeUp } from "../render/plan.ts";
import { writeBundle } from "./bundle.ts";
import { type ConfigOptions, commandOf, envOption, projectFolder, setOption } from "./common.ts";

interface Options extends ConfigOptions {
  env: string;
  json: boolean;
  bundle?: string;
}

/** Warn two weeks before a certificate ends, which is time enough to get another. */
const CERTIFICATE_ENDS_SOON_MS = 14 * 86_400_000;

/** Runs all checks before an `up` of an environment. */
export async function examine(folder: string, environment: string, set: readonly string[]): Promise<Check[]> {
  const checks: Check[] = [checkNode(ROOT), checkPackages(ROOT)];
  let cluster: Cluster | undefined;
  try {
    const config = loadConfig(folder, environment, set);
    cluster = describeCluster(config);
    checkToday(config, environment);
    checks.push(ok("config", `${cluster.architecture}, ${cluster.machines.length} machines`));
    const end = certificateEnd(config, readCheckout().script);
    if (end && end.getTime() - Date.now() < CERTIFICATE_ENDS_SOON_MS) {
      checks.push(warning("tlsCertificate", `it ends on ${dayOf(end)}`, "get a new one, and up"));
    }
    for (const text of missingBeforeUp(cluster, environment)) {
      const [, key = "config", said = text] = /^(\w+): (.*)$/.exec(text) ?? [];
      checks.push(problem(key, `not set: ${said}`));
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const { key, value, rule, fix } of error.problems) {
      const got = value === undefined ? "not set" : JSON.stringify(value);
      checks.push(problem(key, `${got}; must be ${rule}`, fix));
    }
  }
  checks.push(...(await checkDocker(ROOT, cluster)));
  if (cluster && platformOf(cluster.config).servers) {
    const wanted = { packages: machinePackages(cluster, readCheckout()), environment };
    const asked = [checkPulumi(ROOT, environment), checkSsh(), checkCloud(cluster, folder, wanted)] as const;
    checks.push(...(await Promise.all(asked)).flat());
  }
  return checks;
}

/** `triplewide doctor`. */
export function doctor(): Command {
  return commandOf(
    "doctor",
    "Says what would stop an up here, or collects what a bug report needs.",
    "Looks at Node, Docker and the config; for OpenStack also at Pulumi, SSH, credentials, clocks, quota, image, flavors and networks. Changes nothing. Exit code 1 where there is a problem.",
    ["triplewide doctor", "triplewide doctor --env production --json", "triplewide doctor --bundle report.tar.gz"],
  )
    .addOption(envOption())
    .option("--json", "print it for programs", false)
    .option("--bundle <file>", "also write a tar.gz of versions, plan, states and logs without secrets (default: none)")
    .addOption(setOption())
    .action(async (options: Options) => {
      const folder = projectFolder();
      const checks = await examine(folder, options.env, options.set);
      if (options.json) printJson(checks);
      else print(checksText(checks));
      if (options.bundle !== undefined) {
        const { env: environment, set, bundle: path } = options;
        const files = await writeBundle({ folder, environment, set, checks, path });
        remark(`${path}: ${files.length} files. Look at it before you hand it on.\n`);
      }
      if (checks.some((c) => c.state === "problem")) process.exitCode = EXIT_FAILED;
    });
}
