import { z } from "zod";
import { generalKeys } from "./keys/general.ts";
import { machineKeys } from "./keys/machines.ts";
import { mesosKeys } from "./keys/mesos.ts";
import { networkKeys } from "./keys/network.ts";
import { operationKeys } from "./keys/operation.ts";
import { portsKeys } from "./keys/ports.ts";
import { sizeKeys } from "./keys/size.ts";
import { softwareKeys } from "./keys/software.ts";
import { sparkKeys } from "./keys/spark.ts";
import { storageKeys } from "./keys/storage.ts";

export { ARCHITECTURES, type Architecture } from "./keys/general.ts";

/**
 * Every config key, once: a file of `keys/` for each section of the reference. Keys are flat and camelCase so that
 * `pulumi config set <key> <value>` is pleasant. A stack file writes an unset text or number as `""` or `0`, because Pulumi has no
 * "absent" for a declared key; here it is `undefined`. A list that is unset is empty.
 */
export const shape = {
  ...generalKeys,
  ...sizeKeys,
  ...machineKeys,
  ...networkKeys,
  ...storageKeys,
  ...softwareKeys,
  ...sparkKeys,
  ...mesosKeys,
  ...portsKeys,
  ...operationKeys,
} as const;

/** The schema: unknown keys are refused. */
export const schema = z.strictObject(shape);

/** A valid config, every default applied. A key that is unset is `undefined`. */
export type Config = Omit<z.infer<typeof schema>, "clusterName"> & { clusterName: string };
/** Name of a config key. */
export type ConfigKey = keyof typeof shape;
/** Where a cluster runs. */
export type Platform = Config["platform"];

/**
 * The value of a key that must be set where it is asked for.
 *
 * @throws Error where it is not: the rules between keys should have refused the config.
 */
export function required<K extends ConfigKey>(c: Config, key: K): NonNullable<Config[K]> {
  const value = c[key];
  if (value === undefined || value === null) throw new Error(`${key} is not set`);
  return value;
}
