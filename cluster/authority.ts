import type { Config } from "../config/schema.ts";
import { authorityCertificate, certificate, type Owner, type Use } from "./certificates.ts";
import { type DerivedKey, derivedKey } from "./derived-keys.ts";
import { SECRET_NAMES } from "./secret-names.ts";
import type { Machine } from "./types.ts";
import { derivedAs, secret, type Value } from "./values.ts";

/**
 * The cluster's own certificate authorities for what its machines say to each other. All of it is made of one secret of the stack, which
 * no machine has: a machine gets an authority's certificate, and keys and certificates of its own services. The gateway, which people
 * trust in their browsers, has another one (`services/gateway/authority.ts`).
 */

/**
 * Which of them: `services` vouches for services that people's programs are no part of, `libprocess` for Mesos, whose drivers and
 * executors are such programs and read their key. Neither is believed where the other is asked for.
 */
export type Realm = "services" | "libprocess";

/** Secret of the stack that the authority's key, and those of all whom it vouches for, are made of. */
const SEED = secret(SECRET_NAMES.serviceAuthority);

const authorityOf = (seed: string, clusterName: string, realm: string): Owner => ({
  key: derivedKey(seed, realm === "services" ? "triplewide service authority" : `triplewide ${realm} authority`),
  name: `triplewide ${clusterName} ${realm}`,
});

/** Domain of the machines' names in certificates, of which no other cluster has any. No DNS knows it (ICANN keeps `internal` free). */
const domainOf = (clusterName: string): string => `${clusterName}.internal`;

/** An authority's certificate: it can vouch for the cluster's own network and domain, and for nothing else. */
const authorityPem = (seed: string, clusterName: string, networkCidr: string, realm: string): string =>
  authorityCertificate(authorityOf(seed, clusterName, realm), [networkCidr, domainOf(clusterName)], 0);

const serviceKey = (seed: string, machine: string, service: string): DerivedKey =>
  derivedKey(seed, `triplewide service key ${machine} ${service}`);

const keyPem = (seed: string, machine: string, service: string): string => serviceKey(seed, machine, service).pem;

const certificatePem = (
  seed: string,
  clusterName: string,
  machine: string,
  service: string,
  address: string,
  uses: string,
  realm: string,
): string =>
  certificate(
    authorityOf(seed, clusterName, realm),
    { key: serviceKey(seed, machine, service), name: `${service} of ${clusterName}-${machine}` },
    [address, `${machine}.${domainOf(clusterName)}`],
    uses.split(",") as Use[],
  );

/** An authority's certificate, in PEM: whom clients of the cluster's services trust. */
export const serviceAuthority = (
  { clusterName, networkCidr }: Pick<Config, "clusterName" | "networkCidr">,
  realm: Realm = "services",
): Value =>
  derivedAs(
    { kind: "certificate", name: realm === "services" ? SECRET_NAMES.serviceAuthority : realm },
    authorityPem,
    ...[SEED, clusterName, networkCidr, realm],
  );

const issuerPem = (seed: string, clusterName: string, issuer: string, permitted: string): string =>
  authorityCertificate(
    { key: serviceKey(seed, "issuer", issuer), name: `triplewide ${clusterName} ${issuer}` },
    [permitted, `${issuer}.${domainOf(clusterName)}`],
    0,
  );

/**
 * An authority for a service that issues certificates itself, to clients whose addresses are not known in advance. It can vouch for the
 * permitted addresses, and for nothing else.
 *
 * @param issuer Name of what it vouches for, such as `drivers`.
 * @param permitted The address or the network of those whom it may vouch for.
 */
export const issuerOf = (
  { clusterName }: Pick<Config, "clusterName">,
  issuer: string,
  permitted: string,
): Identity => ({
  certificate: derivedAs({ kind: "certificate", name: issuer }, issuerPem, ...[SEED, clusterName, issuer, permitted]),
  key: derivedAs({ kind: "key", name: issuer }, keyPem, SEED, "issuer", issuer),
});

/** Certificate and key by which a service identifies itself. */
export interface Identity {
  /** Certificate, in PEM, for the address of its machine and for `<machine>.<cluster>.internal`. */
  certificate: Value;
  /** Private key, in PEM (`EC PRIVATE KEY`, on P-256). For a file of mode "0600". */
  key: Value;
}

/**
 * Certificate and key of a service of a machine, for whoever trusts the realm's `serviceAuthority`. Every service of every machine has a key of its
 * own.
 *
 * @param service Name of the service, or of those that share a key.
 * @param uses What it is in connections: `client` where it shows the certificate to servers as well.
 */
export function identityOf(
  { clusterName }: Pick<Config, "clusterName">,
  { name, address }: Pick<Machine, "name" | "address">,
  service: string,
  uses: readonly Use[],
  realm: Realm = "services",
): Identity {
  const shown = `${service}-${name}`;
  return {
    certificate: derivedAs(
      { kind: "certificate", name: shown },
      certificatePem,
      ...[SEED, clusterName, name, service, address, uses.join(), realm],
    ),
    key: derivedAs({ kind: "key", name: shown }, keyPem, SEED, name, service),
  };
}
