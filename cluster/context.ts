import type { Config } from "../config/schema.ts";
import type { Machine, Role } from "./types.ts";

/** What every service builder reads: the config, and who lives where. */
export interface Context {
  config: Config;
  machines: readonly Machine[];
  /** Addresses of the machines with a role, in order. */
  addresses(role: Role): string[];
}

export function makeContext(config: Config, machines: readonly Machine[]): Context {
  const byRole = new Map<Role, string[]>();
  for (const machine of machines) {
    for (const role of machine.roles) {
      const list = byRole.get(role);
      if (list) list.push(machine.address);
      else byRole.set(role, [machine.address]);
    }
  }
  return { config, machines, addresses: (role) => byRole.get(role) ?? [] };
}

/** `host:port` of each, joined by commas. */
export function endpoints(hosts: readonly string[], port: number): string {
  return hosts.map((host) => `${host}:${port}`).join(",");
}

/** `key value` lines, sorted: the same bytes for the same input. */
export function propertyLines(properties: Readonly<Record<string, string>>, separator: string): string {
  return Object.keys(properties)
    .sort()
    .map((key) => `${key}${separator}${properties[key]}\n`)
    .join("");
}
