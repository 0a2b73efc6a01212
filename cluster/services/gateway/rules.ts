import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { Address4 } from "ip-address";
import type { Config, ConfigKey } from "../../../config/schema.ts";
import { HIDDEN } from "../../../config/secrets.ts";
import type { Refuse } from "../../architectures/record.ts";
import { isAddress } from "../../certificates.ts";
import type { Context } from "../../context.ts";
import { fewAddresses } from "../../networks.ts";
import { platformOf } from "../../platforms.ts";
import { bindsToNetwork } from "../../publishing.ts";
import { isEncrypted, isPublic } from "./entrance.ts";
import { certificatesIn } from "./tls.ts";

/** Rules between the keys of the gateway: what other machines reach is encrypted, by a certificate that fits. */

/** Keys that mean something to one way of `tls` alone. */
const KEYS_OF = { tlsCertificate: "files", tlsKey: "files", acmeDirectory: "acme", acmeEmail: "acme" } as const;

/** @param script Reads a file by its path. */
export function gatewayRules(c: Config, script: Context["script"], refuse: Refuse): void {
  const containers = platformOf(c).machinesAreContainers;
  if (containers && bindsToNetwork(c) && !c.openToNetwork && !isEncrypted(c)) {
    refuse(
      "bindAddress",
      "a loopback address, such as 127.0.0.1, while tls is none and openToNetwork is false: passwords would go over the network as they are",
      "set tls to own, reach the pages by `ssh -L`, or set openToNetwork to true as well",
    );
  }
  if (!c.gateway && isEncrypted(c)) {
    refuse("tls", "none while gateway is false: the gateway alone is encrypted", "set gateway to true, or remove tls");
  }
  for (const [key, tls] of Object.entries(KEYS_OF) as [keyof typeof KEYS_OF, string][]) {
    if (c[key] !== undefined && c.tls !== tls)
      refuse(key, `empty while tls is ${c.tls}`, `set tls to ${tls}, or remove it`, shown(c, key));
  }
  if (c.tls === "acme" && platformOf(c).servers && !c.bastion) {
    refuse(
      "tls",
      "own or files while bastion is false: no ACME server reaches the gateway",
      "set bastion to true, or tls to own",
    );
  }
  name(c, refuse);
  if (platformOf(c).servers) users(c, refuse);
  zone(c, refuse);
  if (c.tls === "files") files(c, script, refuse);
}

const shown = (c: Config, key: ConfigKey): unknown => (key === "tlsKey" ? HIDDEN : c[key]);

function name(c: Config, refuse: Refuse): void {
  const { domain, tls } = c;
  if (domain === undefined) {
    if (tls === "files" || tls === "acme") {
      refuse("domain", `set while tls is ${tls}: it is what the certificate is for`, "set the name that people type");
    } else if (platformOf(c).machinesAreContainers && isEncrypted(c) && c.bindAddress === "0.0.0.0") {
      const fix = "set domain to the name or the address that people type, or bindAddress to one address";
      refuse("domain", "set while bindAddress is 0.0.0.0: a certificate names what people type", fix);
    }
    return;
  }
  if (!isEncrypted(c)) {
    refuse("domain", "empty while tls is none: it is what a certificate is for", "set tls to own, or remove domain");
  } else if (isAddress(domain) && !Address4.isValid(domain)) {
    refuse("domain", "a name with a letter in it, or an IPv4 address", "check the address");
  } else if (tls === "acme" && (isAddress(domain) || !domain.includes("."))) {
    const fix = "set a name of your DNS, such as spark.example.org, or tls to own";
    refuse("domain", "a name with a dot in it while tls is acme, not an address", fix);
  }
}

/** The cloud's DNS leads a name of its zone to the bastion, for those who may come there. */
function zone(c: Config, refuse: Refuse): void {
  const { dnsZone, domain } = c;
  if (dnsZone === undefined) return;
  if (domain === undefined || isAddress(domain) || (domain !== dnsZone && !domain.endsWith(`.${dnsZone}`))) {
    refuse("dnsZone", "the zone in which domain is", "set domain to a name of that zone, or remove dnsZone");
  }
  if (!platformOf(c).servers) {
    refuse("dnsZone", `empty on platform ${c.platform}, which has no DNS of its own`, "remove it");
  } else if (!isPublic(c)) {
    const rule = "empty while nobody comes by the bastion's public address";
    refuse("dnsZone", rule, "set userCidrs too, or remove it");
  }
}

/** Connections through the bastion's public address must be encrypted. */
function users(c: Config, refuse: Refuse): void {
  if (c.userCidrs.length === 0) {
    if (c.bastion && (c.tls === "files" || c.tls === "acme")) {
      const rule = `set while tls is ${c.tls} and there is a bastion: nobody reaches ${c.domain ?? "domain"} by the tunnel, whose near end is localhost`;
      refuse("userCidrs", rule, "list the networks of those who use the cluster, or set tls to own");
    }
    return;
  }
  if (!c.gateway) refuse("userCidrs", "empty while gateway is false", "set gateway to true, or remove it");
  if (!c.bastion) {
    const rule = "empty while bastion is false: adminCidrs reach the gateway itself then";
    refuse("userCidrs", rule, "set bastion to true, or remove it");
  }
  if (!isEncrypted(c)) {
    const rule = "empty while tls is none: passwords would go over the network as they are";
    refuse("userCidrs", rule, "set tls to own, files or acme");
  }
  if (!c.openToNetwork)
    fewAddresses(
      c,
      "userCidrs",
      "list the networks of those who use the cluster, or set openToNetwork to true",
      refuse,
    );
}

/** The certificate and its key belong together, hold now, and are for the name. */
function files(c: Config, script: Context["script"], refuse: Refuse): void {
  for (const key of ["tlsCertificate", "tlsKey"] as const) {
    if (c[key] === undefined) refuse(key, "set while tls is files", "give both tlsCertificate and tlsKey", undefined);
  }
  if (c.tlsCertificate === undefined) return;
  const wrong = (rule: string, fix: string): void => refuse("tlsCertificate", rule, fix);
  const chain = chainIn(c.tlsCertificate, script, wrong);
  const [certificate] = chain;
  if (!certificate) return;
  if (c.domain !== undefined && !isFor(certificate, c.domain))
    wrong(
      `for domain (${c.domain}); it is for ${namesIn(certificate)}`,
      "give the certificate of that name, first in its file",
    );
  const apart = chain.findIndex((one, i) => i > 0 && !chain[i - 1]?.checkIssued(one));
  if (apart > 0) {
    const rule = `a chain in which each certificate is issued by the one that follows (number ${apart} is not)`;
    wrong(rule, "put the certificate first, then that of its issuer, and so on");
  }
  if (c.tlsKey === undefined || c.tlsKey === HIDDEN) return;
  const key = keyIn(c.tlsKey);
  if (!key) {
    const fix =
      "give it without a password, as one text without the lines that begin with dashes: openssl pkey -in key.pem | sed '/^-/d' | tr -d '\\n'";
    refuse("tlsKey", "a private key in base64", fix, HIDDEN);
  } else if (!certificate.checkPrivateKey(key)) {
    refuse(
      "tlsKey",
      "the key of the first certificate in tlsCertificate",
      "give the two that were made together",
      HIDDEN,
    );
  }
}

/** Refuses a certificate that is not valid today. Checked before a cluster comes up, and not by commands that look at one or remove it. */
export function certificateOfToday(c: Config, script: Context["script"], refuse: Refuse): void {
  if (c.tls !== "files" || c.tlsCertificate === undefined) return;
  const [certificate] = chainIn(c.tlsCertificate, script, () => {});
  if (!certificate) return;
  const now = Date.now();
  const ended = `valid today (it ended on ${dayOf(certificate.validTo)})`;
  const begins = `valid today (it begins on ${dayOf(certificate.validFrom)})`;
  if (Date.parse(certificate.validTo) < now) refuse("tlsCertificate", ended, "get a new one");
  if (Date.parse(certificate.validFrom) > now) {
    refuse("tlsCertificate", begins, "check the clock of this machine, or wait");
  }
}

/** When the certificate of `tls: files` ends, of a config that `certificateOfToday` does not refuse; `undefined` where another ends by itself. */
export function certificateEnd(c: Config, script: Context["script"]): Date | undefined {
  if (c.tls !== "files" || c.tlsCertificate === undefined) return undefined;
  const [certificate] = chainIn(c.tlsCertificate, script, () => {});
  return certificate && new Date(certificate.validTo);
}

/** A date as people write it in files: 2026-11-27. */
export const dayOf = (date: string | Date): string => new Date(date).toISOString().slice(0, 10);

const isFor = (certificate: X509Certificate, domain: string): boolean =>
  (isAddress(domain) ? certificate.checkIP(domain) : certificate.checkHost(domain)) !== undefined;

const namesIn = (certificate: X509Certificate): string =>
  certificate.subjectAltName?.replace(/(DNS|IP Address):/g, "") ?? "no name";

function chainIn(
  path: string,
  script: Context["script"],
  wrong: (rule: string, fix: string) => void,
): X509Certificate[] {
  let text: string;
  try {
    text = script(path);
  } catch {
    wrong("a file that can be read", "give its path, from the folder of this checkout or from /");
    return [];
  }
  const blocks = certificatesIn(text);
  try {
    if (blocks.length > 0) return blocks.map((block) => new X509Certificate(block));
  } catch {
    // Said below.
  }
  wrong("certificates in PEM", "give a file with -----BEGIN CERTIFICATE----- in it, the certificate first");
  return [];
}

/** A private key in any of the forms that PEM files have. */
function keyIn(base64: string): KeyObject | undefined {
  for (const type of ["pkcs8", "sec1", "pkcs1"] as const) {
    try {
      return createPrivateKey({ key: Buffer.from(base64, "base64"), format: "der", type });
    } catch {
      // Another form.
    }
  }
  return undefined;
}
