import * as pulumi from "@pulumi/pulumi";
import { fillImages, imagesIn } from "../cluster/images.ts";
import { fillSecrets, secretsIn } from "../cluster/secrets.ts";
import type { ClusterSecrets } from "./cluster-secrets.ts";
import type { Images } from "./images.ts";

/** Puts values in place of all marks of a text. */
export type Fill = (text: string) => string;

/**
 * Makes one function that fills many texts, as soon as the values are known. One for each group, not for each machine:
 * with a thousand machines, that many waits for the same values would be what a preview takes most of its time for.
 *
 * @param sample A text that has every mark which the texts may have.
 * @param images Left out where there are none yet.
 */
export function filler(sample: string, secrets: ClusterSecrets, images?: Images): pulumi.Output<Fill> {
  const secretNames = [...new Set(secretsIn(sample))];
  const imageNames = imagesIn(sample);
  if (!images && imageNames.length > 0) throw new Error(`${imageNames} are needed before any image is there`);
  const secretValues: pulumi.Output<string[]> = pulumi.all(secretNames.map((name) => secrets.of(name)));
  const references: pulumi.Output<string[]> = pulumi.all(imageNames.map((name) => (images as Images).of(name)));
  return pulumi.all([secretValues, references]).apply(([given, referenced]) => {
    const secretOf = lookUp(secretNames, given);
    const referenceOf = lookUp(imageNames, referenced);
    return (text: string) => fillSecrets(fillImages(text, referenceOf), secretOf);
  });
}

function lookUp(names: readonly string[], values: readonly string[]): (name: string) => string {
  const byName = new Map(names.map((name, i) => [name, values[i]]));
  return (name) => {
    const value = byName.get(name);
    if (value === undefined) throw new Error(`a text has a mark of ${name} that the sample of its kind has not`);
    return value;
  };
}
