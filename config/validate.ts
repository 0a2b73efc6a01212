import { closest, distance } from "fastest-levenshtein";
import type { z } from "zod";
import { UsageError } from "../lib/errors.ts";
import { type FieldInfo, infoOf } from "./fields.ts";
import { crossFieldProblems } from "./rules.ts";
import { type Config, type ConfigKey, schema, shape } from "./schema.ts";
import { HIDDEN, isSecretKey } from "./secrets.ts";

/** One thing that is wrong with a config. */
export interface Problem {
  key: string;
  /** The value as given (secrets are never shown). */
  value: unknown;
  rule: string;
  fix: string;
}

/** Raw values as they stand in a stack file, after `pulumi config set`, or after `--set`. */
export type RawConfig = Readonly<Record<string, unknown>>;

/** Thrown for a config that cannot be used; the message lists every problem. */
export class ConfigError extends UsageError {
  override name = "ConfigError";
  readonly problems: readonly Problem[];
  constructor(source: string, problems: readonly Problem[]) {
    super(formatProblems(source, problems));
    this.problems = problems;
  }
}

/** The list that people read: one problem a line, key first. */
export function formatProblems(source: string, problems: readonly Problem[]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  const lines = problems.map(
    (p) =>
      `  ${p.key}: ${p.value === undefined ? "not set" : `got ${show(p.value)}`}; must be ${p.rule}. Fix: ${p.fix}.`,
  );
  return [`${source}: ${count} in the config, nothing was changed.`, ...lines].join("\n");
}

function show(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

/**
 * Checks a raw config against the schema and the rules between keys.
 *
 * @param raw Values by key, without the project's prefix.
 * @param environment Name of the environment; the default of `clusterName`.
 * @returns The typed config with defaults applied.
 * @throws ConfigError naming every problem at once.
 */
export function validate(raw: RawConfig, environment: string): Config {
  const given: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(raw)) given[key] = coerce(key, value);

  const parsed = schema.safeParse(given);
  const problems = parsed.success ? [] : parsed.error.issues.flatMap((issue) => toProblems(issue, given));
  // Rules between keys are checked as well when single keys are wrong (those at their defaults), so that one run
  // shows everything.
  const usable = parsed.success ? parsed.data : schema.parse(without(given, problems));
  const config: Config = { ...usable, clusterName: usable.clusterName || clusterNameFrom(environment) };
  const wrong = new Set(problems.map((p) => p.key.split(/[.[]/)[0]));
  problems.push(...crossFieldProblems(config).filter((p) => !wrong.has(p.key)));
  if (problems.length > 0) throw new ConfigError(environment, problems);
  return config;
}

function clusterNameFrom(environment: string): string {
  const name = environment.toLowerCase().replace(/[^a-z0-9-]+/g, "-");
  return (
    name
      .replace(/^[^a-z]+/, "")
      .slice(0, 20)
      .replace(/-+$/, "") || "cluster"
  );
}

function without(given: Record<string, unknown>, problems: readonly Problem[]): Record<string, unknown> {
  const wrong = new Set(problems.map((p) => p.key.split(/[.[]/)[0]));
  return Object.fromEntries(Object.entries(given).filter(([key]) => key in shape && !wrong.has(key)));
}

/** The Pulumi CLI writes every value that is set as text: "3", "true", "[...]" are read as the key's own kind. */
function coerce(key: string, value: unknown): unknown {
  if (!(key in shape) || typeof value !== "string") return value;
  const { kind } = infoOf(shape[key as ConfigKey]);
  const text = value.trim();
  switch (kind) {
    case "integer":
      return /^-?\d+$/.test(text) ? Number(text) : value;
    case "boolean":
      return text === "true" ? true : text === "false" ? false : value;
    case "array":
      if (text.startsWith("[")) return tryJson(text) ?? value;
      return text === "" ? [] : text.split(",").map((item) => item.trim());
    case "object":
      return tryJson(text) ?? value;
    case "string":
      return value;
  }
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function toProblems(issue: z.core.$ZodIssue, given: Record<string, unknown>): Problem[] {
  if (issue.code === "unrecognized_keys" && issue.path.length === 0) {
    return issue.keys.map((key) => ({
      key,
      value: given[key],
      rule: "a key of docs/CONFIG.md",
      fix: nearest(key) ? `write ${nearest(key)}, or remove it` : "remove it",
    }));
  }
  const [first, ...rest] = issue.path;
  const key = String(first);
  const info: FieldInfo = infoOf(shape[key as ConfigKey]);
  const path = rest.reduce<string>((p, part) => p + (typeof part === "number" ? `[${part}]` : `.${String(part)}`), key);
  let value: unknown = given[key];
  for (const part of rest) value = (value as Record<PropertyKey, unknown> | undefined)?.[part];
  return [{ key: path, value: isSecretKey(key) ? HIDDEN : value, rule: info.rule, fix: info.fix }];
}

/** The known key that an unknown one most looks like; none when nothing is near. */
function nearest(unknown: string): string | undefined {
  const best = closest(unknown, Object.keys(shape));
  return distance(unknown.toLowerCase(), best.toLowerCase()) <= Math.max(2, unknown.length / 3) ? best : undefined;
}
