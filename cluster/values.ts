import type { ImageName } from "./image-catalogue.ts";

/**
 * Text of the cluster's definition whose secrets, image references and values of the cloud are not known yet. They stand in it as typed references,
 * never as marks inside of a string: text that a config gives can therefore not name one, and a value is put in before the
 * text is quoted for where it goes (a shell word, YAML, JSON, a properties file).
 */

/** What only the cloud can say: when it was asked, or has made it. */
export type CloudValue =
  | "object-store-endpoint"
  | "object-store-region"
  | "object-store-access-key"
  | "public-address"
  | "shared-storage-export";

/** What a definition refers to by name: a secret of the cluster, an image of the catalogue, or a value of the cloud's. */
export type Reference =
  | { readonly kind: "secret"; readonly name: string }
  | { readonly kind: "image"; readonly name: ImageName }
  | { readonly kind: "cloud"; readonly name: CloudValue };

/** Text that is made of other texts when their references are known. */
export interface Derived {
  readonly kind: "derived";
  /** A function of its module, so that the same definition is the same data. */
  readonly make: (...of: string[]) => string;
  readonly of: readonly Value[];
  /**
   * What the text is, where it does not reveal the secrets that it is made of. A machine that has it does not have those secrets.
   * @default it holds what it is made of
   */
  readonly as?: Product;
}

/** A private key, or a certificate, that is made of a secret which stays with the stack. */
export interface Product {
  readonly kind: "key" | "certificate";
  readonly name: string;
}

type Part = string | Reference | Derived;

/** Text with references in it. */
export class Template {
  readonly parts: readonly Part[];
  constructor(parts: readonly Part[]) {
    this.parts = parts;
  }
}

/** Text as the definition holds it. */
export type Value = string | Template;

/** The data after `fill`: every template is a string. */
export type Filled<T> = T extends Template
  ? string
  : T extends readonly (infer U)[]
    ? Filled<U>[]
    : T extends object
      ? { [K in keyof T]: Filled<T[K]> }
      : T;

/** What a reference stands for. */
export type LookUp = (reference: Reference) => string;

/** The value of a secret of the cluster. */
export const secret = (name: string): Template => new Template([{ kind: "secret", name }]);

/** The reference by which an image is pulled. */
export const image = (name: ImageName): Template => new Template([{ kind: "image", name }]);

/** A value that the cloud gives. */
export const cloud = (name: CloudValue): Template => new Template([{ kind: "cloud", name }]);

/**
 * Text that is made of other texts when their references are known.
 *
 * @param make Pure, and a function of its module.
 */
export const derived = (make: Derived["make"], ...of: readonly Value[]): Template =>
  new Template([{ kind: "derived", make, of }]);

/** The same, where the result does not reveal the secrets among `of`. */
export const derivedAs = (as: Product, make: Derived["make"], ...of: readonly Value[]): Template =>
  new Template([{ kind: "derived", make, of, as }]);

const inBase64 = (text: string): string => Buffer.from(text).toString("base64");

/** Base64 of a text, as HTTP sends a user and a password. */
export const base64 = (of: Value): Template => derived(inBase64, of);

/** Tag for template literals: keeps the references of the values that are put in. */
export function text(strings: TemplateStringsArray, ...values: readonly Value[]): Template {
  const parts: Part[] = [];
  for (const [i, literal] of strings.entries()) {
    if (literal !== "") parts.push(literal);
    const value = values[i];
    if (value instanceof Template) parts.push(...value.parts);
    else if (value !== undefined && value !== "") parts.push(value);
  }
  return new Template(parts);
}

/** Plain data in which every reference is replaced by its value. What holds no reference is the very same object, not a copy. */
export function fill<T>(data: T, lookUp: LookUp): Filled<T> {
  return filled(data, lookUp) as Filled<T>;
}

function filledPart(part: Part, lookUp: LookUp): string {
  if (typeof part === "string") return part;
  if (part.kind !== "derived") return lookUp(part);
  const texts = part.of.map((of) => fill(of, lookUp));
  // A result with the name of a reference in it is for people: it shows that name.
  const shown = texts.find((text) => PLACEHOLDER.test(text));
  if (shown === undefined) return part.make(...texts);
  return part.as ? `{{${part.as.kind}:${part.as.name}}}` : shown;
}

function filled(data: unknown, lookUp: LookUp): unknown {
  if (data instanceof Template) {
    return data.parts.map((part) => filledPart(part, lookUp)).join("");
  }
  if (typeof data !== "object" || data === null) return data;
  // A thousand agents are mostly data without references: copies of it would be most of the time of a plan.
  let copy: Record<string, unknown> | unknown[] | undefined;
  for (const key in data) {
    const value = (data as Record<string, unknown>)[key];
    const put = filled(value, lookUp);
    if (put === value) continue;
    copy ??= Array.isArray(data) ? [...data] : { ...data };
    (copy as Record<string, unknown>)[key] = put;
  }
  return copy ?? data;
}

/**
 * Every reference in plain data, each once, in the order of their first appearance.
 *
 * @param held Whether to leave out what data is made of that tells nothing of it.
 */
export function references(data: unknown, held = false): Reference[] {
  const found = new Map<string, Reference>();
  const visit = (value: unknown): void => {
    if (value instanceof Template) {
      for (const part of value.parts) {
        if (typeof part === "string") continue;
        if (part.kind === "derived") {
          if (!held || part.as === undefined) visit(part.of);
        } else found.set(`${part.kind} ${part.name}`, part);
      }
    } else if (typeof value === "object" && value !== null) {
      for (const key in value) visit((value as Record<string, unknown>)[key]);
    }
  };
  visit(data);
  return [...found.values()];
}

const secretNames = (found: readonly Reference[]): string[] =>
  found.flatMap((reference) => (reference.kind === "secret" ? [reference.name] : []));

/** Names of the secrets that data holds. */
export const secretsIn = (data: unknown): string[] => secretNames(references(data, true));

/** Names of the secrets that data holds, or is made of. */
export const secretsFor = (data: unknown): string[] => secretNames(references(data));

/** No secret of a cluster has braces in it. */
const PLACEHOLDER = /\{\{(secret|image|cloud|key|certificate):/;

/**
 * What people see in place of a value: `{{secret:NAME}}`, `{{image:NAME}}`, `{{cloud:NAME}}`; of what is made of a secret `{{key:NAME}}`
 * or `{{certificate:NAME}}`. Nothing reads it back.
 */
export const placeholder: LookUp = ({ kind, name }) => `{{${kind}:${name}}}`;
