import type { Config } from "../config/schema.ts";
import type { Checkout } from "../lib/checkout.ts";
import type { ArchitectureFacts } from "./architectures/facts.ts";
import { type PlatformRecord, platformOf } from "./platforms.ts";
import type { File, Machine, Role, SparkWiring } from "./types.ts";

/** What every service builder reads: the config, and who lives where. */
export interface Context {
  config: Config;
  architecture: ArchitectureFacts;
  platform: PlatformRecord;
  machines: readonly Machine[];
  /** Addresses of the machines with a role, in order. */
  addresses(role: Role): string[];
  /** Text of a script that lies beside the service which uses it. */
  script: Checkout["script"];
}

/** A context in which it is known how drivers reach the cluster. */
export interface WiredContext extends Context {
  spark: SparkWiring;
}

/** A context of machines that have been placed. @param script Reads a script by its path in the repository. */
export function makeContext(
  config: Config,
  architecture: ArchitectureFacts,
  machines: readonly Machine[],
  script: Checkout["script"],
): Context {
  const byRole = new Map<Role, string[]>();
  for (const machine of machines) {
    for (const role of machine.roles) {
      const list = byRole.get(role);
      if (list) list.push(machine.address);
      else byRole.set(role, [machine.address]);
    }
  }
  return {
    config,
    architecture,
    platform: platformOf(config),
    machines,
    addresses: (role) => byRole.get(role) ?? [],
    script,
  };
}

/** `host:port` of each, joined by commas. */
export function endpoints(hosts: readonly string[], port: number): string {
  return hosts.map((host) => `${host}:${port}`).join(",");
}

/**
 * A script of the repository as a file of a service.
 *
 * @param source Its path in the repository.
 */
export const scriptFile = (ctx: Context, path: string, source: string, mode = "0755"): File => ({
  path,
  content: { format: "text", text: ctx.script(source) },
  mode,
});
