import { createHash, createPublicKey } from "node:crypto";
import { p256 } from "@noble/curves/nist.js";
import { AsnConvert, OctetString } from "@peculiar/asn1-schema";
import * as x509 from "@peculiar/asn1-x509";
import { pem } from "../../../lib/pem.ts";
import { derivedKey } from "../../derived-keys.ts";
import { derived, secret, text, type Value } from "../../values.ts";
import { isAddress } from "./entrance.ts";

/**
 * The cluster's own certificate authority (`tls: own`). Its key and certificate are made of one secret of the stack and are the same
 * in every run: signatures are deterministic (RFC 6979) and the validity is fixed. Caddy has them, and issues the gateway's
 * certificates itself.
 */

/** Secret of the stack that the authority's key is made of. */
const SEED = secret("gateway-authority");

/** ECDSA with SHA-256 (RFC 5758, section 3.2). */
const ECDSA_SHA256 = "1.2.840.10045.4.3.2";
const COMMON_NAME = "2.5.4.3";

/** Fixed, because a certificate that differs from the one before would replace its machine. */
const VALIDITY = { notBefore: new Date("2025-01-01T00:00:00Z"), notAfter: new Date("2049-12-31T23:59:59Z") };

const keyOf = (seed: string) => derivedKey(seed, "triplewide certificate authority");
const privateKeyOf = (seed: string): string => keyOf(seed).pem;

const extension = (extnID: string, value: unknown, critical = true): x509.Extension =>
  new x509.Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) });

/**
 * The certificate of the authority, in PEM. It is good for nothing but these names: who trusts it trusts the cluster's operators with
 * no other site (RFC 5280, section 4.2.1.10).
 *
 * @param names DNS names and IPv4 addresses that it may vouch for, separated by commas.
 */
export function certificateOf(seed: string, clusterName: string, names: string): string {
  const { pem: key, point, scalar } = keyOf(seed);
  const algorithm = new x509.AlgorithmIdentifier({ algorithm: ECDSA_SHA256 });
  const digest = (data: string | Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(data).digest());
  const name = new x509.Name([
    new x509.RelativeDistinguishedName([
      new x509.AttributeTypeAndValue({
        type: COMMON_NAME,
        value: new x509.AttributeValue({ utf8String: `triplewide ${clusterName}` }),
      }),
    ]),
  ]);
  const permitted = names.split(",").map((one) => new x509.GeneralSubtree({ base: generalName(one) }));
  // Two certificates of one authority must not have one number: browsers refuse the second.
  const serial = digest(`${point.toString("hex")} ${names}`).slice(0, 16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const tbsCertificate = new x509.TBSCertificate({
    version: x509.Version.v3,
    serialNumber: serial.buffer,
    signature: algorithm,
    issuer: name,
    subject: name,
    validity: new x509.Validity(VALIDITY),
    subjectPublicKeyInfo: AsnConvert.parse(
      createPublicKey(key).export({ type: "spki", format: "der" }),
      x509.SubjectPublicKeyInfo,
    ),
    extensions: new x509.Extensions([
      // Caddy has an authority of its own in between.
      extension(x509.id_ce_basicConstraints, new x509.BasicConstraints({ cA: true, pathLenConstraint: 1 })),
      extension(x509.id_ce_keyUsage, new x509.KeyUsage(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign)),
      extension(
        x509.id_ce_subjectKeyIdentifier,
        new x509.SubjectKeyIdentifier(digest(new Uint8Array(point)).slice(0, 20)),
        false,
      ),
      extension(
        x509.id_ce_nameConstraints,
        new x509.NameConstraints({ permittedSubtrees: new x509.GeneralSubtrees(permitted) }),
      ),
    ]),
  });
  const signature = p256.sign(new Uint8Array(AsnConvert.serialize(tbsCertificate)), new Uint8Array(scalar), {
    format: "der",
    lowS: false,
  });
  const certificate = new x509.Certificate({
    tbsCertificate,
    signatureAlgorithm: algorithm,
    signatureValue: new Uint8Array(signature).buffer,
  });
  return pem(Buffer.from(AsnConvert.serialize(certificate)).toString("base64"));
}

const generalName = (name: string): x509.GeneralName =>
  isAddress(name) ? new x509.GeneralName({ iPAddress: `${name}/32` }) : new x509.GeneralName({ dNSName: name });

/** The authority's private key, in PEM. */
export const authorityKey = (): Value => derived(privateKeyOf, SEED);

/** The authority's certificate, in PEM. @param names What it may vouch for. */
export const authorityCertificate = (clusterName: string, names: readonly Value[]): Value =>
  derived(
    certificateOf,
    SEED,
    clusterName,
    names.reduce((all, name) => text`${all},${name}`),
  );
