import { loadRaw } from "./load.ts";
import type { Config } from "./schema.ts";
import { validate } from "./validate.ts";

/** The typed config of an environment: its stack file, overrides applied, every problem reported at once. */
export function loadConfig(root: string, environment: string, overrides: readonly string[] = []): Config {
  return validate(loadRaw(root, environment, overrides), environment);
}
