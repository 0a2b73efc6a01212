import { createECDH, createPrivateKey, hkdfSync } from "node:crypto";

/**
 * Private keys that are made of a secret of the stack. The same secret and purpose give the same key in every run, so that a key
 * is known before what has it exists, and nothing that holds one changes by itself.
 */

/** A key on the curve P-256. */
export interface DerivedKey {
  /** Its private number, 32 bytes. */
  scalar: Buffer;
  /** Its public point, uncompressed (SEC 1, section 2.3.3). */
  point: Buffer;
  /** The private key as OpenSSL and OpenSSH write it (`EC PRIVATE KEY`). */
  pem: string;
}

/** Order of P-256's group of points (FIPS 186-5). */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** The key for a purpose. @param seed A secret of the stack. */
export function derivedKey(seed: string, purpose: string): DerivedKey {
  // 64 bits more than the order has, so that no key is likelier than another (FIPS 186-5, A.2.1).
  const wide = Buffer.from(hkdfSync("sha256", seed, "", purpose, 40));
  const number = (BigInt(`0x${wide.toString("hex")}`) % (ORDER - 1n)) + 1n;
  const scalar = Buffer.from(number.toString(16).padStart(64, "0"), "hex");
  const curve = createECDH("prime256v1");
  curve.setPrivateKey(scalar);
  const point = curve.getPublicKey();
  const coordinate = (first: number): string => point.subarray(first, first + 32).toString("base64url");
  const jwk = { kty: "EC", crv: "P-256", d: scalar.toString("base64url"), x: coordinate(1), y: coordinate(33) };
  const pem = String(createPrivateKey({ key: jwk, format: "jwk" }).export({ type: "sec1", format: "pem" }));
  return { scalar, point, pem };
}
