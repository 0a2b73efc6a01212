import type { Config } from "../config/schema.ts";
import { pullSecret, pullsImages } from "./services/registry.ts";
import type { Group, Machine, Secret, Service } from "./types.ts";

const MARK = /\{\{secret:([a-z0-9-]+)\}\}/g;
/** Characters of a secret: 32 letters and digits are more than 190 bits. */
const LENGTH = 32;

/** Names of the secrets that a text has marks of. */
export function secretsIn(text: string): string[] {
  return [...text.matchAll(MARK)].map((match) => match[1] ?? "");
}

/** Puts the values in place of the marks. */
export function fillSecrets(text: string, valueFor: (name: string) => string): string {
  return text.replace(MARK, (_, name: string) => valueFor(name));
}

/** Every secret of the cluster and the groups of machines that hold it, read off the services themselves. */
export function collectSecrets(c: Config, machines: readonly Machine[], services: readonly Service[]): Secret[] {
  const groupOf = new Map(machines.map((m) => [m.name, m.group]));
  const holders = new Map<string, Set<Group>>();
  const hold = (name: string, group: Group): void => {
    holders.set(name, (holders.get(name) ?? new Set()).add(group));
  };
  const pull = pullSecret(c);
  const seen = new Set<string>();
  for (const service of services) {
    const group = groupOf.get(service.machine);
    const kind = `${group} ${service.name}`;
    if (!group || seen.has(kind)) continue;
    seen.add(kind);
    for (const text of [...service.files.map((f) => f.content), ...Object.values(service.env)]) {
      for (const name of secretsIn(text)) hold(name, group);
    }
    if (pull && pullsImages(c, service)) hold(pull, group);
  }
  return [...holders.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, groups]) => ({ name, length: LENGTH, groups: [...groups].sort() }));
}
