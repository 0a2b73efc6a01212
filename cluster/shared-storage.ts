import type { Config } from "../config/schema.ts";
import type { Directory, Machine } from "./types.ts";

/**
 * One folder that the client and all executors have at the same path, with the same owner: what a driver reads or writes
 * there by a path of its own, executors read and write too.
 */

/** Where the folder is, for drivers and executors alike: the working folder of notebooks. */
export const SHARED_FOLDER = "/home/spark/work";

/** The service, and its machine, whose data the folder is: notebooks were there before others could see them. */
export const SHARED_KEEPER = { machine: "client", service: "jupyter" } as const;

/** Whether executors have the folder too. */
export const hasSharedStorage = (c: Pick<Config, "sharedStorage">): boolean => c.sharedStorage !== "none";

/** The folder as a service has it that runs drivers or executors, or whose tasks do; none where it is not shared. */
export const sharedFolder = (c: Pick<Config, "sharedStorage">): Directory[] =>
  hasSharedStorage(c) ? [{ path: SHARED_FOLDER, lasts: "data", shared: "cluster", keeper: SHARED_KEEPER }] : [];

/** The same folder as services of the client have it: also where nobody else does. */
export const clientFolder = (c: Pick<Config, "sharedStorage">): Directory[] =>
  hasSharedStorage(c) ? sharedFolder(c) : [{ path: SHARED_FOLDER, lasts: "data", keeper: SHARED_KEEPER }];

/** Whether a machine is the one whose data the folder is. */
export const keepsSharedFolder = (machine: Pick<Machine, "name">): boolean => machine.name === SHARED_KEEPER.machine;
