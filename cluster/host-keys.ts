import { derivedKey } from "./derived-keys.ts";
import { SECRET_NAMES } from "./secret-names.ts";
import type { Cluster, Machine } from "./types.ts";
import type { LookUp } from "./values.ts";

/**
 * SSH host keys of the machines. All are derived from one secret of the stack, each by the name of its machine: every key is
 * known before its machine exists, and a replaced machine has the key of the one before it.
 *
 * ECDSA on P-256, because every OpenSSH reads such a key as Node writes it. Ed25519 keys in PEM are read since OpenSSH 9.6, and
 * the format that older ones read has random bytes in it, which would replace the machine in each update.
 */

/** Letters and digits of the secret that all host keys are made of: more than 380 bits. */
export const HOST_KEY_SECRET_LENGTH = 64;
/** Secret in a machine's user data: the private key that is derived for it. */
export const HOST_KEY = "ssh-host-key";
/** Bytes of such a key in PEM. */
export const HOST_KEY_BYTES = 227;

const TYPE = "ecdsa-sha2-nistp256";

export interface HostKey {
  /** Private key in PEM, as sshd reads it. */
  privateKey: string;
  /** `ecdsa-sha2-nistp256 AAAA…`, as `known_hosts` has it. */
  publicKey: string;
}

/** The host key of a machine. The same secret and name give the same key. */
export function hostKey(seed: string, machine: string): HostKey {
  const { pem, point } = derivedKey(seed, `triplewide ssh host key ${machine}`);
  const blob = Buffer.concat([Buffer.from(TYPE), Buffer.from("nistp256"), point].flatMap(field));
  return { privateKey: pem, publicKey: `${TYPE} ${blob.toString("base64")}` };
}

/** A string of the SSH protocol: its length in four bytes, and itself (RFC 4251, section 5). */
function field(value: Buffer): Buffer[] {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(value.length);
  return [length, value];
}

/** Name under which a machine's key is known: that of its server. The bastion's address is not known beforehand. */
export const hostKeyAlias = (cluster: Cluster, machine: Pick<Machine, "name">): string =>
  `${cluster.name}-${machine.name}`;

/** What a machine's user data refers to, its own host key among it. */
export const withHostKey =
  (machine: string, lookUp: LookUp): LookUp =>
  (reference) =>
    reference.kind === "secret" && reference.name === HOST_KEY
      ? hostKey(lookUp({ kind: "secret", name: SECRET_NAMES.hostKeys }), machine).privateKey
      : lookUp(reference);

/** Lines of `known_hosts` for every machine, by name and by address in the cluster's network. */
export function knownHosts(cluster: Cluster, seed: string): string {
  return cluster.machines
    .map((m) => `${hostKeyAlias(cluster, m)},${m.address} ${hostKey(seed, m.name).publicKey}\n`)
    .join("");
}
