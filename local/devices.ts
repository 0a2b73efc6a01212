import { statSync } from "node:fs";
import { agentGroupNames, devicesOf } from "../cluster/agent-groups.ts";
import { ConfigError } from "../config/problems.ts";
import type { Config } from "../config/schema.ts";

/**
 * Whether this machine has the devices that the config hands to agents. Docker itself would only fail after half of the cluster is up.
 *
 * @throws ConfigError where it misses one: Docker would say so when half of the cluster is up.
 */
export function checkDevices(config: Config, environment: string): void {
  const missing = agentGroupNames(config).flatMap((name) =>
    devicesOf(config, name)
      .devices.filter((path) => !statSync(path, { throwIfNoEntry: false })?.isCharacterDevice())
      .map((path) => ({
        key: "agentGroups",
        value: `${name}: ${path}`,
        rule: "of gpus and devices that this machine has",
        fix: "name devices that `ls /dev` shows, or install their driver",
      })),
  );
  if (missing.length > 0) throw new ConfigError(environment, missing);
}
