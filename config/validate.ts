import { closest, distance } from "fastest-levenshtein";
import type { z } from "zod";
import { type FieldInfo, infoOf } from "./fields.ts";
import type { Problem } from "./problems.ts";
import { type Config, type ConfigKey, schema, shape } from "./schema.ts";
import { HIDDEN, isSecretKey } from "./secrets.ts";

/** Raw values as they stand in a stack file, after `pulumi config set`, or after `--set`. */
export type RawConfig = Readonly<Record<string, unknown>>;

/** A config as far as its single keys are right, and what is wrong with the others. */
export interface CheckedKeys {
  /** Every default applied; wrong keys stand at their defaults. */
  config: Config;
  problems: Problem[];
}

/**
 * Checks each key of a raw config by itself.
 *
 * @param raw Values by key, without the project's prefix.
 * @param environment Name of the environment; the default of `clusterName`.
 */
export function checkKeys(raw: RawConfig, environment: string): CheckedKeys {
  const given: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(raw)) given[key] = coerce(key, value);

  const parsed = schema.safeParse(given);
  const problems = parsed.success ? [] : parsed.error.issues.flatMap((issue) => toProblems(issue, given));
  const usable = parsed.success ? parsed.data : schema.parse(without(given, problems));
  return { config: { ...usable, clusterName: usable.clusterName ?? clusterNameFrom(environment) }, problems };
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
