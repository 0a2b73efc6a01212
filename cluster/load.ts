import { loadRaw } from "../config/load.ts";
import { ConfigError } from "../config/problems.ts";
import type { Config } from "../config/schema.ts";
import { checkKeys, type RawConfig, topKey } from "../config/validate.ts";
import { type Checkout, readCheckout } from "../lib/checkout.ts";
import { defineCluster } from "./define.ts";
import { crossFieldProblems, problemsOfToday } from "./rules.ts";
import type { Cluster } from "./types.ts";

/** From what people wrote to a cluster: the one place of this folder that reads files. */

/**
 * Checks a raw config: each key, then the rules between keys.
 *
 * @param raw Values by key, without the project's prefix.
 * @param environment Name of the environment; the default of `clusterName`.
 * @param checkout Where the scripts of the services lie. @default the checkout that this file is part of
 * @returns The typed config with defaults applied.
 * @throws ConfigError naming every problem at once.
 */
export function validate(raw: RawConfig, environment: string, checkout: Checkout = readCheckout()): Config {
  // Rules between keys are checked as well when single keys are wrong (those at their defaults), so that one run shows
  // everything.
  const { config, problems } = checkKeys(raw, environment);
  const wrong = new Set(problems.map(topKey));
  const all = [...problems, ...crossFieldProblems(config, checkout).filter((p) => !wrong.has(p.key))];
  if (all.length > 0) throw new ConfigError(environment, all);
  return config;
}

/**
 * The typed config of an environment: its stack file, overrides applied, every problem reported at once.
 *
 * @param root Folder of `Pulumi.yaml`.
 * @throws EnvironmentError where there is no such environment; ConfigError naming every problem at once.
 */
export function loadConfig(root: string, environment: string, overrides: readonly string[] = []): Config {
  return validate(loadRaw(root, environment, overrides), environment);
}

/**
 * Checks what must hold on the day on which a cluster comes up.
 *
 * @throws ConfigError naming every problem at once.
 */
export function checkToday(config: Config, environment: string, checkout: Checkout = readCheckout()): void {
  const problems = problemsOfToday(config, checkout);
  if (problems.length > 0) throw new ConfigError(environment, problems);
}

/**
 * The cluster that a valid config describes.
 *
 * @param checkout Where the scripts of the services lie. @default the checkout that this file is part of
 */
export function describeCluster(config: Config, checkout: Checkout = readCheckout()): Cluster {
  return defineCluster(config, checkout);
}
