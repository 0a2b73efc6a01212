import { createHash } from "node:crypto";

/** What a machine is made from, secrets and image digests filled in. */
export interface Configuration {
  userData: string;
  /** Hash of everything whose change replaces or restarts the machine; kept in the server's metadata. */
  hash: string;
}

/** What besides its user data a machine is made from. */
export interface Substance {
  imageId: string;
  flavor: string;
  keyName: string;
  availabilityZone: string;
  volumeGb: number;
  antiAffinity: string;
}

/** Settles the bytes of a machine and their hash. The same input gives the same hash in every run. */
export function configure(userData: string, substance: Substance): Configuration {
  const { imageId, flavor, keyName, availabilityZone, volumeGb, antiAffinity } = substance;
  const parts = [userData, imageId, flavor, keyName, availabilityZone, String(volumeGb > 0), antiAffinity];
  return { userData, hash: createHash("sha256").update(JSON.stringify(parts)).digest("hex") };
}
