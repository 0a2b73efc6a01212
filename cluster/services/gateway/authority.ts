import { authorityCertificate } from "../../certificates.ts";
import { derivedKey } from "../../derived-keys.ts";
import { SECRET_NAMES } from "../../secret-names.ts";
import { derived, secret, text, type Value } from "../../values.ts";

/**
 * The certificate authority of the gateway (`tls: own`), which people put into their browsers. Its key and certificate are made of one
 * secret of the stack. Caddy has them, and issues the gateway's certificates itself.
 */

/** Secret of the stack that the authority's key is made of. */
const SEED = secret(SECRET_NAMES.gatewayAuthority);

const keyOf = (seed: string) => derivedKey(seed, "triplewide certificate authority");
const privateKeyOf = (seed: string): string => keyOf(seed).pem;

/**
 * The certificate of the authority, in PEM.
 *
 * @param names DNS names and IPv4 addresses that it may vouch for, separated by commas.
 */
export function certificateOf(seed: string, clusterName: string, names: string): string {
  // Caddy has an authority of its own in between.
  return authorityCertificate({ key: keyOf(seed), name: `triplewide ${clusterName}` }, names.split(","), 1);
}

/** The authority's private key, in PEM. */
export const authorityKey = (): Value => derived(privateKeyOf, SEED);

/** The authority's certificate, in PEM. @param names What it may vouch for. */
export const gatewayAuthority = (clusterName: string, names: readonly Value[]): Value =>
  derived(
    certificateOf,
    SEED,
    clusterName,
    names.reduce((all, name) => text`${all},${name}`),
  );
