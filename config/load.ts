import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { UsageError } from "../lib/errors.ts";
import { ConfigError } from "./problems.ts";
import { HIDDEN } from "./secrets.ts";
import type { RawConfig } from "./validate.ts";

/** The project's name in `Pulumi.yaml`, which prefixes every key in a stack file. */
export const PROJECT = "triplewide";

/** Thrown where an environment cannot be read at all. */
export class EnvironmentError extends UsageError {
  override name = "EnvironmentError";
}

/** Environments that the repository holds: the `<name>` of every `Pulumi.<name>.yaml`. */
export function environments(root: string): string[] {
  return readdirSync(root)
    .map((file) => /^Pulumi\.([A-Za-z0-9_.-]+)\.yaml$/.exec(file)?.[1])
    .filter((name): name is string => name !== undefined && name !== "README")
    .sort();
}

/**
 * Reads `Pulumi.<environment>.yaml` as the Pulumi CLI would, without needing it.
 *
 * @param root Folder of `Pulumi.yaml`.
 * @param environment Name of the environment (Pulumi: stack).
 * @param overrides `key=value` texts that win over the file.
 * @returns Values by key without the project's prefix. Every encrypted value stands as `"(secret)"`.
 * @throws EnvironmentError when there is no such file or it is not YAML; ConfigError for a malformed override.
 */
export function loadRaw(root: string, environment: string, overrides: readonly string[] = []): RawConfig {
  const file = `Pulumi.${environment}.yaml`;
  let text: string;
  try {
    text = readFileSync(join(root, file), "utf8");
  } catch {
    throw new EnvironmentError(
      `no environment "${environment}": there is no ${file}. Environments here: ${environments(root).join(", ")}.`,
    );
  }
  const document = parseDocument(text, { prettyErrors: true });
  const error = document.errors[0];
  if (error) throw new EnvironmentError(`${file} is not valid YAML: ${error.message}`);
  const config: unknown = (document.toJS() as { config?: unknown } | null)?.config ?? {};
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new EnvironmentError(`${file}: "config" must be a table of "${PROJECT}:key: value" lines`);
  }
  // A map: a key may be called `__proto__`.
  const raw = new Map<string, unknown>();
  for (const [name, value] of Object.entries(config)) {
    const [namespace, key] = splitOnce(name, ":");
    // Keys of other namespaces (openstack:cloud) belong to Pulumi's providers.
    if (key !== undefined && namespace !== PROJECT) continue;
    raw.set(key ?? name, withoutEncrypted(value));
  }
  const malformed = overrides.filter((text) => !/^[^=]+=/.test(text));
  if (malformed.length > 0) {
    throw new ConfigError(
      environment,
      malformed.map((value) => ({ key: "--set", value, rule: "key=value", fix: "write --set agentCount=3" })),
    );
  }
  for (const text of overrides) {
    const [key, value] = splitOnce(text, "=");
    raw.set(key, value ?? "");
  }
  return Object.fromEntries(raw);
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const i = text.indexOf(separator);
  return i < 0 ? [text, undefined] : [text.slice(0, i), text.slice(i + 1)];
}

/** Encrypted values, of a key or inside of a table (`pulumi config set --path --secret`), are not known here. */
function withoutEncrypted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEncrypted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0]?.[0] === "secure" && typeof entries[0][1] === "string") return HIDDEN;
  return Object.fromEntries(entries.map(([key, inner]) => [key, withoutEncrypted(inner)]));
}
