import { z } from "zod";
import { type FieldInfo, infoOf } from "./fields.ts";
import { type ConfigKey, shape } from "./schema.ts";

/**
 * The JSON Schema of a stack file (`Pulumi.<environment>.yaml`), by which editors complete keys and check values. It
 * says what single keys may hold; the rules between keys are checked by `validate`.
 */

type Json = Record<string, unknown>;

/** Where the schema lies, relative to the stack files. */
export const SCHEMA_FILE = "docs/config.schema.json";

/** First line of a stack file: names the schema for editors that speak to the YAML language server. */
export const MODELINE = `# yaml-language-server: $schema=${SCHEMA_FILE}`;

/** Text in place of a value, as `pulumi config set` writes every one; `validate` reads it as the key's own kind. */
const AS_TEXT: Readonly<Record<FieldInfo["kind"], Json | undefined>> = {
  string: undefined,
  integer: { type: "string", pattern: "^\\s*-?[0-9]+\\s*$" },
  boolean: { enum: ["true", "false"] },
  array: { type: "string" },
  object: { type: "string", pattern: "^\\s*\\{" },
};

/** What `pulumi config set --secret` writes. */
const ENCRYPTED: Json = {
  type: "object",
  properties: { secure: { type: "string" } },
  required: ["secure"],
  additionalProperties: false,
};

/**
 * The schema of a whole stack file, as plain data.
 *
 * @param project Name in `Pulumi.yaml`, which prefixes every key in a stack file.
 */
export function stackFileSchema(project: string): Json {
  const keys = Object.keys(shape) as ConfigKey[];
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    $comment: "Made from config/schema.ts by `make docs`. Do not edit.",
    title: `Pulumi.<environment>.yaml of ${project}`,
    type: "object",
    properties: {
      config: {
        description: "Settings of this environment. docs/CONFIG.md explains each key.",
        type: "object",
        properties: Object.fromEntries(keys.map((key) => [`${project}:${key}`, keySchema(key)])),
        // Keys of other namespaces, such as openstack:cloud, belong to Pulumi's providers.
        patternProperties: { [`^(?!${project}:)[^:]+:.+$`]: {} },
        additionalProperties: false,
      },
      environment: { description: "Pulumi ESC environments that are imported." },
      secretsprovider: { description: "Who encrypts secrets, such as passphrase.", type: "string" },
      encryptionsalt: { description: "Salt of the passphrase. Written by Pulumi.", type: "string" },
      encryptedkey: { description: "Encrypted data key of a cloud's key service. Written by Pulumi.", type: "string" },
    },
    additionalProperties: false,
    definitions: { encrypted: ENCRYPTED },
  };
}

function keySchema(key: ConfigKey): Json {
  const info = infoOf(shape[key]);
  const { default: initial, ...value } = valueSchema(key);
  const text = AS_TEXT[info.kind];
  const unset = info.userMustSet || info.derived !== undefined || isEmpty(initial);
  return {
    description: [
      info.doc,
      `Must be ${info.rule}.`,
      ...(info.userMustSet ? ["On OpenStack you set it."] : []),
      ...(info.derived ? [`Default: ${info.derived}.`] : []),
    ].join(" "),
    ...(unset ? {} : { default: initial }),
    anyOf: [
      value,
      ...(info.unset === undefined ? [] : [{ const: info.unset }]),
      ...(text ? [text] : []),
      { $ref: "#/definitions/encrypted" },
    ],
  };
}

/** What zod says of a key's value, completed by what it cannot say. */
function valueSchema(key: ConfigKey): Json {
  const { kind, items } = infoOf(shape[key]);
  const { $schema: _, ...made } = z.toJSONSchema(shape[key], {
    target: "draft-7",
    io: "input",
    unrepresentable: "any",
    // The key's own pattern says it; validators know no such format, and some refuse those that they do not know.
    override: ({ jsonSchema }) => {
      if (jsonSchema.pattern) delete jsonSchema.format;
    },
  }) as Json;
  const said = "type" in made || "enum" in made || "const" in made || "anyOf" in made || "oneOf" in made;
  const typed = said ? made : { ...made, type: kind, ...(items ? { items: { type: items } } : {}) };
  if (typed.type !== "integer" || !unbounded(typed)) return typed;
  // A rule of its own stands behind the number, such as "odd": the few numbers that pass it are listed.
  const { minimum: _min, maximum: _max, ...rest } = typed;
  const accepted = Array.from({ length: LISTED }, (_, n) => n).filter((n) => shape[key].safeParse(n).success);
  return accepted.length < LISTED ? { ...rest, enum: accepted } : rest;
}

/** Numbers from 0 that are tried where a rule can only be asked. */
const LISTED = 100;

const unbounded = ({ minimum, maximum }: Json): boolean =>
  [minimum, maximum].every((bound) => bound === undefined || Math.abs(bound as number) === Number.MAX_SAFE_INTEGER);

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}
