import type { Capability, Service } from "./types.ts";

/** What a service may do and take, for both renderers: Compose's words, `docker run`'s and systemd's are made of it. */
export interface Limits {
  /** Capabilities that it keeps, of all that there are. */
  capabilities: readonly Capability[] | "all";
  /** Whether it writes only to its folders and to `/tmp`. */
  readOnly: boolean;
  /** Processes and threads that it may have. */
  processes: number;
  /** Files and sockets that it may have open. */
  openFiles: number;
}

/** Files and sockets that one service may have open. Spark's shuffle opens thousands. */
const OPEN_FILES = 65_536;
/** Processes and threads of one service: enough for a full machine, not enough to take the machine with it. */
export const PROCESSES = 32_768;
/** MiB of `/tmp` where a container writes nowhere else. Programs are run there: Java's native libraries are unpacked to it. */
const TMP_MIB = 256;

/** Options of the file system that is `/tmp` there. */
export const TMP_OPTIONS = ["rw", "exec", "nosuid", "nodev", "mode=1777", `size=${TMP_MIB}m`].join(",");

/** The limits of a service. */
export function limitsOf({ hardening = {} }: Pick<Service, "hardening">): Limits {
  return {
    capabilities: hardening.capabilities ?? [],
    readOnly: hardening.writesRoot !== true,
    processes: PROCESSES,
    openFiles: OPEN_FILES,
  };
}
