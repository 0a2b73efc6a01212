import { z } from "zod";
import type { Grammar } from "./grammar.ts";

/**
 * Builders for one config key each. A key carries, besides its zod type, what people need to know about it: the
 * documentation, the rule in plain words and what to do when it is broken. Error messages, `docs/CONFIG.md` and the
 * `config:` block of `Pulumi.yaml` are all made from here, so they cannot disagree.
 */

/** How a value is written in a stack file; the Pulumi CLI hands every one of them over as text. */
export type Kind = "string" | "integer" | "boolean" | "array" | "object";

/** What is known of a config key beyond its type. */
export interface FieldInfo {
  kind: Kind;
  /** Kind of an array's items. */
  items?: Kind;
  /** One paragraph: meaning, unit, consequence. */
  doc: string;
  /** Plain words: what a value must be. */
  rule: string;
  /** Plain words: what to do when it is not. */
  fix: string;
  /** Heading in the reference. */
  section: string;
  /** The values that a key of few may have. */
  choices?: readonly string[];
  /** True where only the user can know the value (`""` or `[]` is then refused on OpenStack). */
  userMustSet?: boolean;
  /** What an unset value stands for. */
  derived?: string;
  /**
   * How an unset value is written in a stack file: Pulumi has no "absent" for a declared key. `undefined` for keys that always
   * have a value.
   */
  unset?: "" | 0;
}

const registry = z.registry<FieldInfo>();

/** What is known of a key beyond its type. */
export function infoOf(schema: z.ZodType): FieldInfo {
  const info = registry.get(schema);
  if (!info) throw new Error("a config key was declared without its documentation");
  return info;
}

type Text = Omit<FieldInfo, "kind" | "rule" | "fix" | "section" | "items" | "choices"> &
  Partial<Pick<FieldInfo, "rule" | "fix">>;

const odd = z.int().refine((n) => [1, 3, 5, 7].includes(n));
const ODD_FIX = "use an odd count: an even one survives no more failures than the odd one below it";

/** Declares the keys of one section of the reference. */
export function section(name: string) {
  const add = <S extends z.ZodType>(
    schema: S,
    kind: Kind,
    rule: string,
    text: Text,
    more: Pick<FieldInfo, "items" | "unset" | "choices"> = {},
  ): S => {
    registry.add(schema, { fix: `use ${rule}`, ...text, rule: text.rule ?? rule, kind, section: name, ...more });
    return schema;
  };
  /** A key that may be unset: it then is `undefined`, however the stack file says so. */
  const optional = <S extends z.ZodType>(schema: S, kind: Kind, unset: "" | 0, rule: string, text: Text) => {
    const absent = (value: unknown): unknown => (value === unset ? undefined : value);
    return add(z.preprocess(absent, schema.optional()).optional(), kind, rule, text, { unset });
  };
  return {
    oneOf: <const T extends readonly [string, ...string[]]>(values: T, initial: T[number], text: Text) =>
      add(z.enum(values).default(initial as never), "string", `one of ${values.join(", ")}`, text, {
        choices: values,
      }),

    integer: (min: number, max: number, initial: number, text: Text) =>
      add(z.int().min(min).max(max).default(initial), "integer", `a whole number from ${min} to ${max}`, text),

    /** A number that may be unset (0 in a stack file). */
    optionalInteger: (min: number, max: number, text: Text) =>
      optional(z.int().min(min).max(max), "integer", 0, `a whole number from ${min} to ${max}`, text),

    /** A count that must be odd because a majority of it decides. */
    quorum: (initial: number, text: Text) =>
      add(odd.default(initial), "integer", "1, 3, 5 or 7", { fix: ODD_FIX, ...text }),

    /** The same, where it may be unset (0 in a stack file). */
    optionalQuorum: (text: Text) =>
      optional(odd, "integer", 0, "1, 3, 5 or 7, or 0 to derive it", { fix: ODD_FIX, ...text }),

    port: (initial: number, text: Text) =>
      add(z.int().min(1024).max(65535).default(initial), "integer", "a port from 1024 to 65535", text),

    boolean: (initial: boolean, text: Text) => add(z.boolean().default(initial), "boolean", "true or false", text),

    /** Every text has a grammar; what a secret may hold is anything on one line. */
    text: (initial: string, text: Text, pattern: RegExp, rule: string) =>
      add(z.string().regex(pattern).default(initial), "string", rule, text),

    /** A text that may be unset (empty in a stack file). */
    optionalText: (text: Text, pattern: RegExp, rule: string) =>
      optional(z.string().regex(pattern), "string", "", rule, text),

    /** A secret that may be unset: any text of one line, as others have made it. */
    optionalSecret: (text: Text) => optional(z.string(), "string", "", "text of one line", text),

    cidr: (initial: string, text: Text) =>
      add(z.cidrv4().default(initial), "string", "an IPv4 network such as 10.72.0.0/16", text),

    list: (pattern: RegExp, rule: string, text: Text) =>
      add(z.array(z.string().regex(pattern)).default([]), "array", `a list of ${rule}`, text, { items: "string" }),

    cidrs: (text: Text) =>
      add(z.array(z.cidrv4()).default([]), "array", "a list of IPv4 networks such as 198.51.100.7/32", text, {
        items: "string",
      }),

    /** A table. Its names have a grammar of their own. */
    table: <V extends z.ZodType>(value: V, rule: string, { names, ...text }: Text & { names: Grammar }) =>
      add(z.record(z.string().regex(names.pattern, names.rule), value).default({}), "object", rule, text),
  };
}
