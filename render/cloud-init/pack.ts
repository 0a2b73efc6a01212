import { gzipSync, strToU8 } from "fflate";

/** Bytes of user data that Nova takes, in base64. */
export const MAX_PACKED_BYTES = 65_535;

/**
 * User data as a server gets it: compressed, which cloud-init undoes by itself, and in base64, which the provider then leaves as it is.
 *
 * Other bytes for the same text would replace every machine. So it is not Node's own compression, which differs between its releases,
 * but a library whose release is pinned.
 */
export const packUserData = (text: string): string =>
  Buffer.from(gzipSync(strToU8(text), { level: 6, mtime: 0 })).toString("base64");
