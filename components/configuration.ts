import { createHash } from "node:crypto";
import { packUserData } from "../render/cloud-init/pack.ts";

/** User data of a machine with secrets and image digests filled in, and the hash that shows a change of the machine. */
export interface Configuration {
  /** As a server gets it (`packUserData`). */
  userData: string;
  /** Its SSH host key, as `known_hosts` has it. */
  hostKey: string;
  /** Hash of everything whose change replaces or restarts the machine; kept in the server's metadata. */
  hash: string;
}

/** Settings of a machine's instance, besides its user data, whose change replaces or restarts it. */
export interface InstanceSettings {
  /** Id of the guest image. */
  imageId: string;
  /** Flavor as the config names it. */
  flavor: string;
  /** Nova's name of the key pair. */
  keyName: string;
  /** Availability zone; empty: the cloud's default. */
  availabilityZone: string;
  /** Size of the data volume in GB. Only whether there is one counts: a larger volume is resized in place. */
  volumeGb: number;
  /** Size of the volume that comes and goes with the machine, in GB; 0: none. */
  scratchGb: number;
  /** Size of the volume that the machine boots from, in GB; 0: it boots from its flavor's disk. */
  bootVolumeGb: number;
  /** Whether it has a config drive. */
  configDrive: boolean;
  /** Policy of the machine's server group; empty where it is in none. */
  antiAffinity: string;
}

/**
 * Computes the hash of everything that a machine is made from. The same input gives the same hash in every run.
 *
 * @param userData As cloud-init reads it, with secrets and image digests filled in.
 */
export function configure(userData: string, hostKey: string, settings: InstanceSettings): Configuration {
  const { imageId, flavor, keyName, availabilityZone, volumeGb, antiAffinity } = settings;
  const parts = [userData, imageId, flavor, keyName, availabilityZone, String(volumeGb > 0), antiAffinity];
  // Only where there is one: machines of a cluster without must not change.
  if (settings.scratchGb > 0) parts.push(`scratch ${settings.scratchGb}`);
  if (settings.bootVolumeGb > 0) parts.push(`boot volume ${settings.bootVolumeGb}`);
  if (settings.configDrive) parts.push("config drive");
  return {
    userData: packUserData(userData),
    hostKey,
    hash: createHash("sha256").update(JSON.stringify(parts)).digest("hex"),
  };
}
