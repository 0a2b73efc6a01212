import { existsSync, readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import type { Config } from "../config/schema.ts";

/** Where programs look for the certificate authorities of a machine; `images/site.sh` takes the first that is set, too. */
const BUNDLES = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] as const;

const CERTIFICATE = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g;

/** The certificates of a PEM file, in base64. */
const certificatesOf = (pem: string): string[] =>
  [...pem.matchAll(CERTIFICATE)].map(([, base64 = ""]) => base64.replace(/\s/g, ""));

/** Those of a PEM file that are not among the public ones. */
export function ownAuthorities(pem: string): string[] {
  const known = new Set(rootCertificates.flatMap(certificatesOf));
  return certificatesOf(pem).filter((certificate) => !known.has(certificate));
}

/** The config, in which a client trusts whom this machine trusts, unless it says itself whom. */
export function trustingThisMachine(config: Config, env: Readonly<Record<string, string | undefined>>): Config {
  if (config.trustedCertificates.length > 0) return config;
  const bundle = BUNDLES.map((name) => env[name]).find((path) => path && existsSync(path));
  return { ...config, trustedCertificates: bundle === undefined ? [] : ownAuthorities(readFileSync(bundle, "utf8")) };
}
