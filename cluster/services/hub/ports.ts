import type { Config } from "../../../config/schema.ts";

/** Ports of the client that are the hub's. */

/**
 * Ports that follow `hubPort`, on the loopback interface: the hub's own behind its proxy, that of the guard's health, and that of the
 * proxy where the gateway's TLS is at `hubPort`.
 */
export const HUB_PORTS = { own: 1, health: 2, behindTls: 3 } as const;

/** The ports of the client that are the hub's, the first and the last: by some of them users' servers are shown. */
export const hubPorts = ({ hubPort }: Pick<Config, "hubPort">): string =>
  `${hubPort}-${hubPort + Math.max(...Object.values(HUB_PORTS))}`;
