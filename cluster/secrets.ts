import type { Config } from "../config/schema.ts";
import { pullSecret, pullsImages } from "./services/registry/registry.ts";
import type { Group, Machine, Secret, Service } from "./types.ts";
import { secretsFor, secretsIn } from "./values.ts";

/** Characters of a secret: 32 letters and digits are more than 190 bits. */
const LENGTH = 32;

/**
 * Every secret of the cluster and the groups of machines that hold it, read off the services themselves. No group holds what only keys
 * and certificates are made of.
 */
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
    for (const name of secretsFor([service.files, service.env])) holders.set(name, holders.get(name) ?? new Set());
    for (const name of secretsIn([service.files, service.env])) hold(name, group);
    if (pull && pullsImages(c, service)) hold(pull, group);
  }
  return [...holders.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, groups]) => ({ name, length: LENGTH, groups: [...groups].sort() }));
}

/** Name of the Pulumi component that holds the secrets of a cluster on OpenStack. */
export const secretsComponent = (clusterName: string): string => `${clusterName}-secret`;

/** Name of the resource of such a component that holds one secret. */
export const secretResource = (component: string, secret: string): string => `${component}-${secret}`;

/** Name of the resource, and of the component around it, that is the key pair of a cluster on OpenStack. */
export const keyPairResource = (clusterName: string): string => `${clusterName}-key`;
