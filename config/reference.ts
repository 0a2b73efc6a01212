import { infoOf } from "./fields.ts";
import { type ConfigKey, schema, shape } from "./schema.ts";
import { isSecretKey } from "./secrets.ts";

/** The default of each key as the schema has it. */
const DEFAULTS: Readonly<Record<string, unknown>> = schema.parse({});
const KEYS = Object.keys(shape) as ConfigKey[];

/** `docs/CONFIG.md`: every key, what it means, its default. */
export function configReference(): string {
  const out = [
    "# Config reference",
    "",
    "<!-- Made from config/schema.ts by `make docs`. Do not edit. -->",
    "",
    "Each environment is one file, `Pulumi.<environment>.yaml`; change it by hand or with `pulumi config set <key> <value>`.",
    "Every problem is reported at once, before anything is created. `npm run plan -- <environment> --set key=value` tries a",
    "value without writing it down.",
    "",
  ];
  let current = "";
  for (const key of KEYS) {
    const info = infoOf(shape[key]);
    if (info.section !== current) {
      current = info.section;
      out.push(`## ${current}`, "", "| Key | Kind | Default | Meaning |", "| --- | --- | --- | --- |");
    }
    const kind = info.items ? `list of ${info.items}` : info.kind === "object" ? "table" : info.kind;
    const text = `${info.doc} Must be ${info.rule}.`.replaceAll("|", "\\|");
    out.push(`| \`${key}\` | ${kind} | ${defaultText(key)} | ${text} |`);
    const next = KEYS[KEYS.indexOf(key) + 1];
    if (!next || infoOf(shape[next]).section !== current) out.push("");
  }
  return `${out.join("\n").trimEnd()}\n`;
}

function defaultText(key: ConfigKey): string {
  const info = infoOf(shape[key]);
  if (info.userMustSet) return "you set it (OpenStack)";
  if (info.derived) return info.derived;
  const value = DEFAULTS[key];
  const empty = value === undefined || (typeof value === "object" && Object.keys(value ?? {}).length === 0);
  return empty ? "none" : `\`${String(value)}\``;
}

/**
 * The `config:` block of `Pulumi.yaml`: types and defaults, so that the Pulumi CLI knows every key.
 *
 * Secret keys are left out: the CLI takes a declared key without a default for one that must be set, and refuses a
 * secret with a default.
 */
export function pulumiConfigBlock(): Record<string, object> {
  const block = KEYS.filter((key) => !isSecretKey(key)).map((key) => {
    const info = infoOf(shape[key]);
    const items = info.items ? { items: { type: info.items } } : {};
    return [key, { type: info.kind, ...items, description: info.doc, default: DEFAULTS[key] ?? info.unset }];
  });
  // Meant against the provider's warning about load balancers; its newer versions warn all the same. Taking it away would show an
  // update of the provider in every stack that there is.
  return { ...Object.fromEntries(block), "openstack:useOctavia": { value: true } };
}
