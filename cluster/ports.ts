import { type Config, type ConfigKey, shape } from "../config/schema.ts";
import type { Checkout } from "../lib/checkout.ts";
import { wiredContext } from "./define.ts";
import { servicesOf } from "./services/index.ts";

/** A configured port and the ports that follow it for the same use. */
export interface PortRange {
  key: ConfigKey;
  first: number;
  last: number;
}

/** Every port that this config really uses: those that its services listen on, each once, in the order of the config's keys. */
export function usedPorts(config: Config, script: Checkout["script"]): PortRange[] {
  // The number of agents and datanodes changes no port, so few will do. No file of the config is read: it may be missing.
  const few = {
    ...config,
    agentCount: 1,
    tlsCertificate: undefined,
    agentGroups: {},
    removedAgents: [],
    datanodeCount: Math.min(config.datanodeCount, 1),
  };
  const ctx = wiredContext(few, script);
  const used = new Map<ConfigKey, PortRange>();
  for (const { key, port, last } of servicesOf(ctx).flatMap((s) => s.ports)) {
    if (key === undefined) continue;
    const { first: lowest, last: highest } = used.get(key) ?? { first: port, last: port };
    used.set(key, { key, first: Math.min(lowest, port), last: Math.max(highest, last ?? port) });
  }
  return (Object.keys(shape) as ConfigKey[]).flatMap((key) => used.get(key) ?? []);
}
