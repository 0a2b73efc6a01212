import { containerUrl } from "../cluster/object-store.ts";
import type { Cluster } from "../cluster/types.ts";
import { SPARK_VERSION } from "../config/versions.ts";

/** One screen that says how to use a cluster: the end of `make up` and of `pulumi up` alike. */

/** An address to open, and what is there. */
export interface Opened {
  name: string;
  url: string;
  note?: string;
}

/** A line to type, and what it does. */
export type Typed = readonly [command: string, what: string];

/**
 * The screen, with an empty line before and after each part.
 *
 * @param opened What people open in a browser, the first thing first.
 * @param typed Commands that are useful next.
 */
export function summary(cluster: Cluster, opened: readonly Opened[], typed: readonly Typed[]): string {
  const machines = `${cluster.machines.length} machines`;
  const container = containerUrl(cluster.config);
  const names = [...opened.map(({ name }) => name), "MASTER"];
  const wide = Math.max(...names.map((name) => name.length)) + 2;
  const pages = opened.flatMap(({ name, url, note }) => [
    `  ${name.padEnd(wide)}${url}`,
    ...(note === undefined ? [] : [`  ${"".padEnd(wide)}${note}`]),
  ]);
  const command = Math.max(...typed.map(([text]) => text.length)) + 2;
  return [
    `${cluster.name}: ${cluster.architecture}, Spark ${SPARK_VERSION}, ${machines}`,
    "",
    ...pages,
    `  ${"MASTER".padEnd(wide)}${cluster.spark.master}`,
    ...(container === undefined ? [] : [`  ${"Objects".padEnd(wide)}${container}/`]),
    "",
    ...typed.map(([text, what]) => `  ${text.padEnd(command)}${what}`),
  ].join("\n");
}
