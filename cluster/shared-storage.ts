import type { Config } from "../config/schema.ts";
import { hasHub } from "./features.ts";
import type { Directory, Machine } from "./types.ts";
import { cloud, type Value } from "./values.ts";

/**
 * One folder that the client and all executors have at the same path, with the same owner: what a driver reads or writes
 * there by a path of its own, executors read and write too.
 */

/** Where the folder is, for drivers and executors alike: the working folder of notebooks. */
export const SHARED_FOLDER = "/home/spark/work";

/** The service, and its machine, whose data the folder is: notebooks were there before others could see them. */
const SHARED_KEEPER = { machine: "client", service: "jupyter" } as const;

type Keys = Pick<Config, "sharedStorage" | "notebooks">;

/** Who keeps what lies in the folder: the client, who serves it to the others, a share of the cloud's, or each machine its own. */
const KEPT_BY: Readonly<Record<Config["sharedStorage"], "client" | "cloud" | "each">> = {
  nfs: "client",
  manila: "cloud",
  none: "each",
};

/** Whether executors have the folder too. */
export const hasSharedStorage = (c: Keys): boolean => KEPT_BY[c.sharedStorage] !== "each";

/** Whether the client serves the folder to the others. */
export const clientServesFolder = (c: Keys): boolean => KEPT_BY[c.sharedStorage] === "client";

/** Whether the folder is a share of the cloud's, which the client mounts like everyone else. */
export const usesShare = (c: Keys): boolean => KEPT_BY[c.sharedStorage] === "cloud";

/** The folder as a service has it that runs drivers or executors, or whose tasks do; none where it is not shared. */
export const sharedFolder = (c: Keys): Directory[] =>
  hasSharedStorage(c)
    ? [
        { path: SHARED_FOLDER, lasts: "data", shared: "cluster", ...(usesShare(c) ? {} : { keeper: SHARED_KEEPER }) },
        ...(hasHub(c) ? [usersFolder] : []),
      ]
    : [];

/**
 * Folders of the hub's users in it. It is a volume of its own: the owner of `/home/spark/work` could put a link in its place, and Docker
 * would follow that.
 */
export const usersFolder = {
  path: `${SHARED_FOLDER}/users`,
  lasts: "data",
  shared: "cluster",
  passable: true,
  at: "/var/lib/triplewide/users",
  keeper: { machine: "client", service: "hub-guard" },
} as const satisfies Directory;

/** The same folder as services of the client have it: also where nobody else does. */
export const clientFolder = (c: Keys): Directory[] =>
  hasSharedStorage(c) ? sharedFolder(c) : [{ path: SHARED_FOLDER, lasts: "data", keeper: SHARED_KEEPER }];

/** What machines mount as the folder, as NFS names it: `10.72.0.11:/home/spark/work`. */
export function sharedSource(c: Keys, machines: readonly Pick<Machine, "name" | "address">[]): Value {
  if (usesShare(c)) return cloud("shared-storage-export");
  return `${machines.find(({ name }) => name === SHARED_KEEPER.machine)?.address}:${SHARED_FOLDER}`;
}
