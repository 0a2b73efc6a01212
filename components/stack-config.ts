import * as pulumi from "@pulumi/pulumi";
import { validate } from "../cluster/load.ts";
import { PROJECT } from "../config/load.ts";
import { ConfigError } from "../config/problems.ts";
import type { Config } from "../config/schema.ts";
import { HIDDEN, SECRET_KEYS, type SecretKey } from "../config/secrets.ts";
import { topKey } from "../config/validate.ts";

export interface StackConfig {
  config: Config;
  /** Values of the secret keys that are set. */
  secrets: Partial<Record<SecretKey, pulumi.Output<string>>>;
}

/**
 * The typed config of this stack, as the Pulumi CLI hands it over: every value text, every secret decrypted.
 *
 * @throws RunError naming every problem at once.
 */
export function readStackConfig(): StackConfig {
  const raw: Record<string, string> = {};
  for (const [name, value] of Object.entries(pulumi.runtime.allConfig())) {
    const [project, key] = name.split(":");
    if (project === PROJECT && key !== undefined) raw[key] = value;
  }
  const secretHere = secretKeys();
  try {
    // Secrets are checked like every other value, but the definition only asks whether they are set, and holds none.
    const config = validate(raw, pulumi.getStack());
    const secrets: StackConfig["secrets"] = {};
    for (const key of Object.keys(SECRET_KEYS) as SecretKey[]) {
      const value = config[key];
      if (value === undefined) continue;
      secrets[key] = pulumi.secret(value);
      config[key] = HIDDEN;
    }
    return { config, secrets };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const hidden = error.problems.map((problem) =>
      secretHere.has(topKey(problem)) ? { ...problem, value: HIDDEN } : problem,
    );
    // Without the stack trace, which says nothing to someone who has mistyped a key.
    throw new pulumi.RunError(new ConfigError(pulumi.getStack(), hidden).message);
  }
}

/** Keys whose values are encrypted in this stack, whatever they are called: the engine names them beside the config. */
function secretKeys(): Set<string> {
  const names: unknown = JSON.parse(process.env.PULUMI_CONFIG_SECRET_KEYS ?? "[]");
  return new Set(Array.isArray(names) ? names.map((name) => String(name).slice(`${PROJECT}:`.length)) : []);
}
