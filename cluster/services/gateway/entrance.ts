import type { Config } from "../../../config/schema.ts";
import { isAddress } from "../../certificates.ts";
import { platformOf } from "../../platforms.ts";
import { cloud, text, type Value } from "../../values.ts";

/** By which addresses people come to the gateway. */

type Entrance = Pick<
  Config,
  "tls" | "domain" | "platform" | "bindAddress" | "bastion" | "gatewayPort" | "userCidrs" | "gateway"
>;

/** Whether the gateway speaks HTTPS. */
export const isEncrypted = ({ tls }: Pick<Config, "tls">): boolean => tls !== "none";

/** Whether people come by the bastion's public address, and not by SSH alone. */
export const isPublic = (c: Pick<Entrance, "platform" | "bastion" | "userCidrs">): boolean =>
  platformOf(c).servers && c.bastion && c.userCidrs.length > 0;

/**
 * Whether people have a name to connect to by TLS. gRPC's library trusts no certificate of an address whose authority is constrained to
 * addresses, as the cluster's own is.
 */
export const isNamed = (c: Pick<Entrance, "tls" | "domain">): boolean =>
  isEncrypted(c) && c.domain !== undefined && !isAddress(c.domain);

/** Ports of HTTPS and HTTP at the public address. */
export const PUBLIC_PORTS = { https: 443, http: 80 } as const;

/**
 * The address for which browsers who ask for no name are shown a certificate: they send none where people type an address.
 *
 * @param client Address of the client.
 */
export function shownAddress(c: Entrance, client: string): Value {
  if (c.domain !== undefined && isAddress(c.domain)) return c.domain;
  if (isPublic(c)) return text`${cloud("public-address")}`;
  if (platformOf(c).servers && !c.bastion) return client;
  return platformOf(c).pageAddress(c) ?? "127.0.0.1";
}

/** Names and addresses that people type. @param client Address of the client. */
export function typedNames(c: Entrance, client: string): Value[] {
  const names = [...(c.domain === undefined ? [] : [c.domain]), "localhost", shownAddress(c, client)];
  return names.filter((name, i) => names.indexOf(name) === i);
}

/**
 * Where people open the gateway: `https://spark.example.org:8090`.
 *
 * @param client Address of the client.
 * @param publicAddress The bastion's public address; asked for where that is the way and there is no `domain`.
 */
export function gatewayOrigin(c: Entrance, client: string, publicAddress = ""): string {
  const scheme = isEncrypted(c) ? "https" : "http";
  if (isPublic(c)) return `${scheme}://${c.domain ?? publicAddress}`;
  if (platformOf(c).servers) return `${scheme}://${c.bastion ? "localhost" : (c.domain ?? client)}:${c.gatewayPort}`;
  const address = isEncrypted(c) ? (platformOf(c).pageAddress(c) ?? "localhost") : c.bindAddress;
  return `${scheme}://${c.domain ?? address}:${c.gatewayPort}`;
}
