import * as pulumi from "@pulumi/pulumi";
import type { CloudValue, LookUp, Reference } from "../cluster/values.ts";
import type { ClusterSecrets } from "./cluster-secrets.ts";
import type { Images } from "./images.ts";

/** What the cloud gives, by name; a value that no one refers to may be absent. */
export type CloudValues = Partial<Readonly<Record<CloudValue, pulumi.Input<string>>>>;

/**
 * The values that references stand for, as soon as all of them are known. Called once for each group, not for each machine: with a thousand
 * machines, as many waits for the same values would take most of a preview's time.
 *
 * @param images Left out where there are none yet.
 * @throws Error where an image is referred to and there are none yet, or a value of the cloud that is not known.
 */
export function valuesOf(
  references: readonly Reference[],
  secrets: ClusterSecrets,
  cloud: CloudValues,
  images?: Images,
): pulumi.Output<LookUp> {
  const keyOf = ({ kind, name }: Reference): string => `${kind} ${name}`;
  const outputs: pulumi.Output<string>[] = references.map((reference) => {
    if (reference.kind === "secret") return secrets.of(reference.name);
    if (reference.kind === "cloud") {
      const value = cloud[reference.name];
      if (value === undefined) throw new Error(`the cloud was not asked for ${reference.name}`);
      return pulumi.output(value);
    }
    if (!images) throw new Error(`${reference.name} is needed before any image is there`);
    return images.of(reference.name);
  });
  return pulumi.all(outputs).apply((values) => {
    const byKey = new Map(references.map((reference, i) => [keyOf(reference), values[i]]));
    return (reference: Reference): string => {
      const value = byKey.get(keyOf(reference));
      if (value === undefined)
        throw new Error(`the ${reference.kind} ${reference.name} was not among those that were asked for`);
      return value;
    };
  });
}
