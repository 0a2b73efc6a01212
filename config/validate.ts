import { closest, distance } from "fastest-levenshtein";
import { parseDocument } from "yaml";
import type { z } from "zod";
import { unfitCharacter } from "../lib/text.ts";
import { type FieldInfo, infoOf } from "./fields.ts";
import type { Problem } from "./problems.ts";
import { isSensitiveName } from "./redact.ts";
import { type Config, type ConfigKey, schema, shape } from "./schema.ts";
import { HIDDEN, isSecretKey, mayBeHidden } from "./secrets.ts";

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
  const coerced = Object.fromEntries(Object.entries(raw).map(([key, value]) => [key, coerce(key, value)]));
  const unfit = Object.entries(coerced).flatMap(([key, value]) => unfitText(key, key, value));
  const unread = Object.entries(coerced).flatMap(([key, value]) => unreadable(key, value));
  const given = without(coerced, [...unfit, ...unread]);
  const hidden = Object.entries(given).filter(([, value]) => value === HIDDEN);
  for (const [key] of hidden) delete given[key];

  const parsed = schema.safeParse(given);
  const refused = parsed.success ? [] : parsed.error.issues.flatMap((issue) => toProblems(issue, given));
  const usable = parsed.success ? parsed.data : schema.parse(known(without(given, refused)));
  const config = { ...usable, ...Object.fromEntries(hidden) };
  return {
    config: { ...config, clusterName: config.clusterName ?? clusterNameFrom(environment) },
    problems: [...unfit, ...unread, ...refused],
  };
}

/** Names that JavaScript understands as something else than a name. */
const NO_NAME = new Set(["__proto__"]);

/** What text at any depth of a value holds that nothing of a config may hold; names in tables are text as well. */
function unfitText(key: string, path: string, value: unknown): Problem[] {
  const refuse = (what: string, shown: unknown): Problem => ({
    key: path,
    value: isSecretKey(key) ? HIDDEN : shown,
    rule: "text without control characters, line ends and marks that cannot be seen",
    fix: `take ${what} out of it`,
  });
  if (typeof value === "string") {
    const character = unfitCharacter(value);
    return character === undefined ? [] : [refuse(character, value)];
  }
  if (typeof value !== "object" || value === null) return NO_NAME.has(path) ? [refuse(path, value)] : [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const below = Array.isArray(value) ? `${path}[${name}]` : `${path}.${name}`;
    const character = unfitCharacter(name) ?? (NO_NAME.has(name) ? name : undefined);
    return character === undefined ? unfitText(key, below, inner) : [refuse(character, name)];
  });
}

/** Whether a value is encrypted that has to be known to describe the cluster. */
function unreadable(key: string, value: unknown): Problem[] {
  if (value !== HIDDEN && !(Array.isArray(value) && value.includes(HIDDEN))) return [];
  if (!Object.hasOwn(shape, key)) return [];
  const { kind, choices } = infoOf(shape[key as ConfigKey]);
  if (kind === "string" && choices === undefined && mayBeHidden(key)) return [];
  const fix = "set it without --secret, or give its value with --set";
  return [{ key, value: HIDDEN, rule: "readable here: only the Pulumi CLI decrypts", fix }];
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
  const wrong = new Set(problems.map(topKey));
  return Object.fromEntries(Object.entries(given).filter(([key]) => !wrong.has(topKey({ key }))));
}

/** The key of the config that a problem is about. */
export const topKey = ({ key }: Pick<Problem, "key">): string => key.split(/[.[]/)[0] ?? key;

const known = (given: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(given).filter(([key]) => Object.hasOwn(shape, key)));

/** The Pulumi CLI writes every value that is set as text: "3", "true", "[...]" are read as the key's own kind. */
function coerce(key: string, value: unknown): unknown {
  if (!Object.hasOwn(shape, key) || typeof value !== "string" || value === HIDDEN) return value;
  const { kind } = infoOf(shape[key as ConfigKey]);
  const text = value.trim();
  switch (kind) {
    case "integer":
      return /^-?\d+$/.test(text) ? Number(text) : value;
    case "boolean":
      return text === "true" ? true : text === "false" ? false : value;
    case "array":
      if (text.startsWith("[")) return tryYaml(text) ?? value;
      return text === "" ? [] : text.split(",").map((item) => item.trim());
    case "object":
      return tryYaml(text) ?? value;
    case "string":
      return value;
  }
}

/** A table or a list, as stack files have it. JSON is YAML too. */
function tryYaml(text: string): unknown {
  const document = parseDocument(text);
  if (document.errors.length > 0 || document.warnings.length > 0) return undefined;
  try {
    const value: unknown = document.toJS({ maxAliasCount: 0 });
    return typeof value === "object" ? (value ?? undefined) : undefined;
  } catch {
    return undefined;
  }
}

function toProblems(issue: z.core.$ZodIssue, given: Record<string, unknown>): Problem[] {
  if (issue.code === "unrecognized_keys" && issue.path.length === 0) {
    return issue.keys.map((key) => ({
      key,
      // A secret whose key is mistyped is a secret.
      value: isSensitiveName(nearest(key) ?? key) ? HIDDEN : given[key],
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
  const own = entryRule(issue);
  const rule = info.kind === "object" && rest.length > 0 && own !== undefined ? own : info.rule;
  return [{ key: path, value: issue.code === "invalid_key" ? rest.at(-1) : value, rule, fix: info.fix }];
}

/** What an entry of a table must be, or its name; `undefined` where the table's own rule says it. */
function entryRule(issue: z.core.$ZodIssue): string | undefined {
  if (issue.code === "invalid_key") return issue.issues[0] ? `under ${issue.issues[0].message}` : undefined;
  return issue.code === "invalid_format" ? issue.message : undefined;
}

/** The known key that an unknown one most looks like; none when nothing is near. */
function nearest(unknown: string): string | undefined {
  const best = closest(unknown, Object.keys(shape));
  return distance(unknown.toLowerCase(), best.toLowerCase()) <= Math.max(2, unknown.length / 3) ? best : undefined;
}
