import { propertyName } from "./grammar.ts";
import { HIDDEN, isSecretKey } from "./secrets.ts";

/** What people may see of a config: in plans, in errors, in comments of a pull request. */

/** What Spark's pages and logs hide by themselves (`spark.redaction.regex`): it looks at names and at values. */
const OF_SPARK = /secret|password|token|access[.]?key/i;

/** The same, and what other systems call their keys: an account of Azure's, objects that S3 encrypts by a customer's key. */
const SENSITIVE = new RegExp(
  `${OF_SPARK.source}|passwd|passphrase|(tls|ssl|private)[._-]?(private[._-]?)?key|(account|encryption|signing|shared|api)[._-]?key(?![a-z])`,
  "i",
);

/** That pattern, for a program of Spark's that is given a property which Spark itself would show; `undefined` where it has none. */
export const redactionFor = (properties: readonly string[]): string | undefined =>
  properties.some((name) => SENSITIVE.test(name) && !OF_SPARK.test(name)) ? `(?i)${SENSITIVE.source}` : undefined;

/** A login in an address: everything from its scheme, or from the beginning of a word, to its last `@`. A digest's `@` is none. */
const USERINFO = /(?<=^|[\s"'=,;(])([A-Za-z][A-Za-z0-9+.:-]*:\/\/)?[^\s"'<>]+@(?!sha256:)/g;

/** What an address asks for: a signed download link has its signature there. */
const QUERY = /(https?:\/\/[^\s"'<>?#]*\?)[^\s"'<>#]+/g;

/** Text without the logins and the queries of its addresses. */
export const withoutLogins = (text: string): string =>
  text.replace(USERINFO, (_, scheme = "") => `${scheme}${HIDDEN}@`).replace(QUERY, `$1${HIDDEN}`);

/** Whether a name, or a part of a path such as `sparkConf.spark.ssl.keyPassword`, says that its value is secret. */
export const isSensitiveName = (name: string): boolean => isSecretKey(name) || SENSITIVE.test(name);

/**
 * Whether a value may name a secret itself: a Java option in a property, the key in an override that is malformed, a whole table
 * as text. The name of a property alone says nothing.
 */
const looksInside = (name: string, value: string): boolean =>
  name.startsWith("sparkConf.") || name === "--set" || (name === "sparkConf" && !propertyName.pattern.test(value));

/**
 * A value as people may see it, at any depth.
 *
 * @param name Key of the config, with the path of the value in it, such as `sparkConf.spark.ui.port`.
 */
export function redacted(name: string, value: unknown): unknown {
  if (value === undefined || value === null || value === "") return value;
  const scalar = typeof value !== "object";
  if (scalar && isSensitiveName(name)) return HIDDEN;
  if (typeof value === "string") {
    return looksInside(name, value) && SENSITIVE.test(value) ? HIDDEN : withoutLogins(value);
  }
  if (Array.isArray(value)) return value.map((item) => redacted(name, item));
  if (scalar) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, redacted(`${name}.${key}`, inner)]));
}

/** A config, or a part of one, of which everything that is made from it can be shown. */
export function redactedConfig<C extends object>(config: C): C {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, redacted(key, value)])) as C;
}
