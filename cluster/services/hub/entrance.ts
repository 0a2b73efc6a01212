import type { Config } from "../../../config/schema.ts";
import { platformOf } from "../../platforms.ts";
import { publishedAddress } from "../../publishing.ts";
import { gatewayOrigin, isEncrypted } from "../gateway/entrance.ts";
import { HUB_PORTS } from "./ports.ts";

/** Where people come to the hub. */

/** Where the hub's proxy listens: behind the gateway where that is encrypted, for which it is at `LOOPBACK`. */
export const hubProxyPort = (c: Pick<Config, "hubPort" | "tls">): number =>
  c.hubPort + (isEncrypted(c) ? HUB_PORTS.behindTls : 0);

/**
 * Where people open the hub: the gateway's address, and a port of its own.
 *
 * @param client Address of the client.
 * @param publicAddress As of `gatewayOrigin`.
 */
export function hubOrigin(c: Config, client: string, publicAddress = ""): string {
  // Without TLS the gateway is no part of it.
  if (!isEncrypted(c) && platformOf(c).machinesAreContainers) return `http://${publishedAddress(c)}:${c.hubPort}`;
  const { protocol, hostname } = new URL(gatewayOrigin(c, client, publicAddress));
  return `${protocol}//${hostname}:${c.hubPort}`;
}
