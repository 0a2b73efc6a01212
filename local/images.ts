import { join } from "node:path";
import type { ImageName } from "../cluster/image-catalogue.ts";
import { imagesOf, layerArguments, mesosIn, mesosParts } from "../cluster/images.ts";
import type { Cluster } from "../cluster/types.ts";
import { UserError } from "../lib/errors.ts";
import { interactive } from "../lib/exec.ts";
import type { MesosArchive } from "../mesos/archive.ts";

/** Images that the cluster's services run, built where something changed. */
export async function buildImages(
  root: string,
  cluster: Cluster,
  mesos: ReadonlyMap<string, MesosArchive>,
  signal: AbortSignal,
): Promise<void> {
  const wanted = imagesOf(cluster.services);
  const build = async (names: readonly ImageName[], env: Record<string, string> = {}): Promise<void> => {
    const all = { ...env, ...layerArguments(cluster.config) };
    const code = await interactive(join(root, "images", "build.sh"), names, { signal, env: all });
    signal.throwIfAborted();
    if (code !== 0) throw new UserError("the images were not built (see above); nothing was started.");
  };
  // A client with another Mesos than the masters and agents, or with none, is built on another base image.
  const byMesos = Map.groupBy(wanted, (name) => mesosIn(name, cluster.config));
  const plain = byMesos.get(undefined) ?? [];
  if (plain.length > 0) await build(plain);
  for (const [source, { path, sha256, id }] of mesos) {
    const names = byMesos.get(source) ?? [];
    const parts = mesosParts(source, cluster.config);
    if (names.length === 0) continue;
    await build(names, { MESOS_ARCHIVE: path, MESOS_SHA256: sha256, MESOS_ID: id, MESOS_PARTS: parts });
  }
}
