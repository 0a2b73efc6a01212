import type { Config } from "../config/schema.ts";
import { overlap } from "./addresses.ts";
import type { Port } from "./types.ts";

/** Where Docker publishes the ports of a cluster on this machine. */

/** Whether other machines reach what is published on `bindAddress`. */
export const bindsToNetwork = ({ bindAddress }: Pick<Config, "bindAddress">): boolean =>
  !overlap(bindAddress, "127.0.0.0/8");

/**
 * Address of this machine on which a port is published. Other machines reach what is for them, which is encrypted, unless the
 * config says that they reach all.
 *
 * @param port Left out for a port that is for this machine alone.
 */
export const publishedAddress = (
  c: Pick<Config, "bindAddress" | "openToNetwork">,
  { forNetwork }: Pick<Port, "forNetwork"> = {},
): string => (forNetwork || c.openToNetwork || !bindsToNetwork(c) ? c.bindAddress : "127.0.0.1");
