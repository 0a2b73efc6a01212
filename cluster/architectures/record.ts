import type { Config, ConfigKey } from "../../config/schema.ts";
import type { Context } from "../context.ts";
import type { CoresKnownBy } from "../sharing.ts";
import type { App, Gate } from "../types.ts";
import type { Value } from "../values.ts";
import type { ArchitectureFacts } from "./facts.ts";

/** Refuses a config key: the rule that its value breaks, and what to do. */
export type Refuse = (key: ConfigKey, rule: string, fix: string, value?: unknown) => void;

/** What a driver has in this architecture besides what drivers have in all of them (`wireSpark`). */
export interface Wiring {
  /** What a driver connects to. */
  master: string;
  /** Whom a driver asks how many cores there are. */
  coresKnownBy: CoresKnownBy;
  /** Further properties, which nothing may override. */
  conf: Readonly<Record<string, Value>>;
  /** Keys of properties that drivers have in the other architectures, and must not have in this one. */
  without: readonly string[];
  /** Further variables of `spark-env.sh`. */
  env: Readonly<Record<string, string>>;
  /** Whether executors run a Spark that they fetch, and not that of an image. @default false */
  fetchesSpark?: true;
  /** Program that prints further properties, as `-D` has them, and then what the program prints that it is given. @default none */
  program?: readonly string[];
}

/** Everything that tells one architecture from another. */
export interface ArchitectureRecord extends ArchitectureFacts {
  /** How drivers on the client reach the cluster. */
  wire: (ctx: Context) => Wiring;
  /** What must hold before the masters and the client count as ready. */
  gates: (ctx: Context) => Gate[];
  /** What Marathon keeps running. */
  apps: (ctx: Context) => App[];
  /** Agents that take part in a job which takes all that there is. */
  jobAgents: (c: Config) => number;
  /** Rules of the config that hold for this architecture alone. */
  rules: (c: Config, refuse: Refuse) => void;
}
