import { redacted, withoutLogins } from "./redact.ts";
import { HIDDEN } from "./secrets.ts";

/** Takes secrets out of logs and states before people hand them on. */

/** A value after a name that says that it is secret, as logs, URLs, YAML, JSON and headers write it. */
const NAMED =
  /((?:secret|passw(?:or)?d|passphrase|token|(?:access|account|encryption|signing|shared|api)[._-]?key|authorization|cookie)[\w.-]*["']?\s*[:=]\s*(?:(?:basic|bearer|digest)\s+)?["']?)[^\s"',;&}<>]+/gi;
const PRIVATE_KEY = /-----BEGIN ([A-Z ]*)PRIVATE KEY-----[\s\S]*?(-----END \1PRIVATE KEY-----|$)/g;

/** Shorter values would take ordinary words out; no secret that is made here is as short. */
const SHORTEST = 4;

/**
 * Makes a function that takes secrets out of text: the given values in whatever form logs have them (plain, in JSON, in a URL,
 * in base64, as a part of a longer text in base64), logins in addresses, private keys, and values that stand after a name
 * such as `password`.
 *
 * @param secrets Values that are known to be secret. Lines of those with several are secret each.
 */
export function scrubber(secrets: Iterable<string>): (text: string) => string {
  const forms = new Set<string>();
  for (const secret of secrets) {
    for (const line of new Set([secret, ...secret.split(/\r?\n/)].map((part) => part.trim()))) {
      if (line.length < SHORTEST) continue;
      for (const form of [line, JSON.stringify(line).slice(1, -1), encodeURIComponent(line), ...inBase64(line)])
        if (form.length >= SHORTEST) forms.add(form);
    }
  }
  // The longest first: a part of a secret that is a secret itself must not break the whole.
  const ordered = [...forms].sort((a, b) => b.length - a.length);
  return (text) => {
    let out = text.replace(PRIVATE_KEY, HIDDEN);
    for (const form of ordered) out = out.replaceAll(form, HIDDEN);
    return withoutLogins(out.replace(NAMED, `$1${HIDDEN}`));
  };
}

/** The characters of base64 that a text alone decides, at each of the three places that it can begin at in a longer one. */
function inBase64(text: string): string[] {
  const bytes = Buffer.from(text);
  return [0, 1, 2].map((before) => {
    const whole = Buffer.concat([Buffer.alloc(before), bytes]);
    const first = Math.ceil((before * 8) / 6);
    const last = Math.floor((whole.length * 8) / 6);
    return whole.toString("base64").slice(first, last);
  });
}

/** Every text in a document that stands under a secret name or is marked as secret by Pulumi, at any depth. */
export function secretsIn(document: unknown, name = ""): string[] {
  if (typeof document === "string") return document !== "" && redacted(name, document) === HIDDEN ? [document] : [];
  if (typeof document !== "object" || document === null) return [];
  if (Array.isArray(document)) return document.flatMap((item) => secretsIn(item, name));
  const marked = (document as Record<string, unknown>)[PULUMI_MARK] === PULUMI_SECRET;
  if (marked) return textsIn((document as Record<string, unknown>).plaintext);
  return Object.entries(document).flatMap(([key, inner]) => secretsIn(inner, key));
}

/** How Pulumi's states mark values that are no plain ones, and the mark of secrets. */
const PULUMI_MARK = "4dabf18193072939515e22adb298388d";
const PULUMI_SECRET = "1b47061264138c4ac30d75fd1eb44270";

/** Every text in a value; a secret of Pulumi's is JSON in a text. */
function textsIn(value: unknown): string[] {
  if (typeof value === "string") {
    try {
      const inner: unknown = JSON.parse(value);
      if (typeof inner !== "number") return textsIn(inner);
    } catch {
      // No JSON: the secret itself.
    }
    return [value];
  }
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(textsIn);
}
