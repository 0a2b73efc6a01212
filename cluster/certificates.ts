import { createHash, createPublicKey } from "node:crypto";
import { p256 } from "@noble/curves/nist.js";
import { AsnConvert, OctetString } from "@peculiar/asn1-schema";
import * as x509 from "@peculiar/asn1-x509";
import { pem } from "../lib/pem.ts";
import type { DerivedKey } from "./derived-keys.ts";

/**
 * X.509 certificates that are the same in every run: their keys are derived from a secret of the stack, signatures are deterministic
 * (RFC 6979) and the validity is fixed. One that differed from the one before would replace its machine.
 */

/** Who has a certificate: an authority, or whom one vouches for. */
export interface Owner {
  key: DerivedKey;
  /** Common name. */
  name: string;
}

/** What the owner of a certificate may be in a connection. */
export type Use = "server" | "client";

const USES: Readonly<Record<Use, string>> = { server: x509.id_kp_serverAuth, client: x509.id_kp_clientAuth };

/** ECDSA with SHA-256 (RFC 5758, section 3.2). */
const ECDSA_SHA256 = new x509.AlgorithmIdentifier({ algorithm: "1.2.840.10045.4.3.2" });
const COMMON_NAME = "2.5.4.3";

const VALIDITY = { notBefore: new Date("2025-01-01T00:00:00Z"), notAfter: new Date("2049-12-31T23:59:59Z") };

/** Whether a text is an address, not a name: no name ends in a number. */
export const isAddress = (name: string): boolean => /^[\d.]+$/.test(name);

/**
 * The certificate of an authority, in PEM, which it signs itself. It is good for nothing but these names: who trusts it trusts nobody
 * with any other (RFC 5280, section 4.2.1.10).
 *
 * @param permitted DNS names, which stand for all names below them as well, IPv4 addresses, and networks such as `10.1.0.0/16`. Of
 * each kind at least one: a kind that is not there is not constrained.
 * @param intermediates Authorities that may stand between it and what it vouches for.
 */
export function authorityCertificate(authority: Owner, permitted: readonly string[], intermediates: 0 | 1): string {
  const subtrees = permitted.map((one) => new x509.GeneralSubtree({ base: permittedName(one) }));
  return signed(authority, authority, permitted.join(","), [
    extension(x509.id_ce_basicConstraints, new x509.BasicConstraints({ cA: true, pathLenConstraint: intermediates })),
    extension(x509.id_ce_keyUsage, new x509.KeyUsage(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign)),
    extension(x509.id_ce_subjectKeyIdentifier, new x509.SubjectKeyIdentifier(identifierOf(authority.key)), false),
    extension(
      x509.id_ce_nameConstraints,
      new x509.NameConstraints({ permittedSubtrees: new x509.GeneralSubtrees(subtrees) }),
    ),
  ]);
}

/**
 * A certificate by which others know its owner, in PEM, signed by an authority.
 *
 * @param owner Its name has a space in it: then nobody takes it for a host's, to which constraints on names would apply.
 * @param names DNS names and IPv4 addresses that it has.
 */
export function certificate(authority: Owner, owner: Owner, names: readonly string[], uses: readonly Use[]): string {
  return signed(authority, owner, [owner.name, ...names, ...uses].join(","), [
    extension(x509.id_ce_basicConstraints, new x509.BasicConstraints({ cA: false })),
    extension(x509.id_ce_keyUsage, new x509.KeyUsage(x509.KeyUsageFlags.digitalSignature)),
    extension(x509.id_ce_extKeyUsage, new x509.ExtendedKeyUsage(uses.map((use) => USES[use])), false),
    extension(
      x509.id_ce_authorityKeyIdentifier,
      new x509.AuthorityKeyIdentifier({ keyIdentifier: new x509.KeyIdentifier(identifierOf(authority.key)) }),
      false,
    ),
    extension(x509.id_ce_subjectAltName, new x509.SubjectAlternativeName(names.map(ownName)), false),
  ]);
}

/** @param about What tells it from another certificate of the same key. */
function signed(authority: Owner, owner: Owner, about: string, extensions: x509.Extension[]): string {
  const { point } = owner.key;
  // Two certificates of one authority must not have one number: browsers refuse the second.
  const serial = sha256(`${point.toString("hex")} ${about}`).slice(0, 16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const tbsCertificate = new x509.TBSCertificate({
    version: x509.Version.v3,
    serialNumber: serial.buffer,
    signature: ECDSA_SHA256,
    issuer: called(authority.name),
    subject: called(owner.name),
    validity: new x509.Validity(VALIDITY),
    subjectPublicKeyInfo: AsnConvert.parse(
      createPublicKey(owner.key.pem).export({ type: "spki", format: "der" }),
      x509.SubjectPublicKeyInfo,
    ),
    extensions: new x509.Extensions(extensions),
  });
  const signature = p256.sign(
    new Uint8Array(AsnConvert.serialize(tbsCertificate)),
    new Uint8Array(authority.key.scalar),
    { format: "der", lowS: false },
  );
  const whole = new x509.Certificate({
    tbsCertificate,
    signatureAlgorithm: ECDSA_SHA256,
    signatureValue: new Uint8Array(signature).buffer,
  });
  return pem(Buffer.from(AsnConvert.serialize(whole)).toString("base64"));
}

const sha256 = (data: string | Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(data).digest());

const identifierOf = ({ point }: DerivedKey): Uint8Array => sha256(new Uint8Array(point)).slice(0, 20);

const extension = (extnID: string, value: unknown, critical = true): x509.Extension =>
  new x509.Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) });

const called = (name: string): x509.Name =>
  new x509.Name([
    new x509.RelativeDistinguishedName([
      new x509.AttributeTypeAndValue({ type: COMMON_NAME, value: new x509.AttributeValue({ utf8String: name }) }),
    ]),
  ]);

const ownName = (name: string): x509.GeneralName =>
  new x509.GeneralName(isAddress(name) ? { iPAddress: name } : { dNSName: name });

/** An address stands for itself, as a network of one. */
const permittedName = (name: string): x509.GeneralName => {
  if (name.includes("/")) return new x509.GeneralName({ iPAddress: name });
  return isAddress(name) ? new x509.GeneralName({ iPAddress: `${name}/32` }) : ownName(name);
};
