import { localReference } from "../cluster/images.ts";
import type { Cluster } from "../cluster/types.ts";
import { pinnedVersions } from "../lib/checkout.ts";
import { UserError } from "../lib/errors.ts";
import { captured } from "../lib/exec.ts";
import { containerName, volumeName } from "../render/compose.ts";
import { containerImage } from "../render/container.ts";
import { type Docker, docker, dockerLines } from "./docker.ts";
import { cutOff } from "./health.ts";
import { composeFile, find, type Project, scratchVolumes, writeProject } from "./project.ts";

/** What bringing a cluster up works on. */
export interface Run {
  d: Docker;
  project: Project;
  cluster: Cluster;
  /** Folder of the checkout. */
  root: string;
  say: (line: string) => void;
  signal: AbortSignal;
}

/** Starts the cluster's containers, and anew those whose definition changed. @returns Their ids; they need not be healthy yet. */
export async function startContainers({ d, project, cluster, root, signal }: Run): Promise<string[]> {
  writeProject(project, cluster, pinnedVersions(root));
  await handOver({ d, project, cluster, root });
  const [program, ...first] = d.compose;
  const args = [...first, "-p", project.name, "-f", composeFile(project), "up", "-d", "--remove-orphans"];
  let { code, output } = await captured(program, args, signal);
  signal.throwIfAborted();
  // As when a machine's own container was killed: Compose starts that one, and leaves those be that ran on its network.
  const lost = await cutOff(d, (await find(d, project)).containers);
  if (lost.length > 0) {
    await docker(d, ["rm", "--force", ...lost]);
    ({ code, output } = await captured(program, args, signal));
    signal.throwIfAborted();
  }
  if (code !== 0) throw new UserError(`Docker Compose did not start the cluster:\n${explain(output)}`);
  await removeScratch(d, project, cluster);
  return (await find(d, project)).containers;
}

/** Removes scratch volumes of agents that are gone: a new agent of the same name starts with empty ones. */
async function removeScratch(d: Docker, project: Project, cluster: Cluster): Promise<void> {
  const wanted = new Set(
    cluster.services.flatMap((service) => service.dirs.map((dir) => `${project.name}_${volumeName(service, dir)}`)),
  );
  const left = (await scratchVolumes(d, project)).filter((name) => !wanted.has(name));
  if (left.length > 0) await docker(d, ["volume", "rm", "--force", ...left]);
}

/**
 * Gives data of an older release to the users that services have now, before one of them starts: a volume keeps the owner that it was made
 * with.
 */
async function handOver({ d, project, cluster, root }: Pick<Run, "d" | "project" | "cluster" | "root">): Promise<void> {
  const there = new Set((await find(d, project)).volumes);
  const folders = cluster.services.flatMap((service) =>
    service.dirs.flatMap((dir) => {
      const volume = `${project.name}_${volumeName(service, dir)}`;
      return dir.formerly !== undefined && there.has(volume) ? [{ volume, from: dir.formerly, service }] : [];
    }),
  );
  const [first] = folders;
  if (!first) return;
  const mounts = folders.flatMap(({ volume }, i) => ["--volume", `${volume}:/folders/${i}`]);
  const rights = [
    "--cap-drop",
    "ALL",
    "--cap-add",
    "CHOWN",
    "--cap-add",
    "DAC_OVERRIDE",
    "--user",
    "0",
    "--network",
    "none",
  ];
  const image = localReference(containerImage(first.service), cluster.config, pinnedVersions(root));
  const asRoot = (script: string) =>
    docker(d, ["run", "--rm", ...rights, ...mounts, "--entrypoint", "bash", image, "-euc", script]);
  const owners = await asRoot("for ((i = 0; ; i++)); do [[ -d /folders/$i ]] || break; stat -c %u /folders/$i; done");
  const old = folders
    .map((folder, i) => ({ ...folder, i }))
    .filter(({ from, i }) => +(owners.split("\n")[i] ?? "") === from);
  if (old.length === 0) return;
  // Containers that still write there lose the right to do so, so they are stopped first.
  const running = new Set(await dockerLines(d, ["ps", "--format", "{{.Names}}"]));
  const writers = old.map(({ service }) => containerName(cluster, service)).filter((name) => running.has(name));
  if (writers.length > 0) await docker(d, ["stop", ...writers]);
  await asRoot(old.map(({ service: { uid }, i }) => `chown -R ${uid}:${uid} /folders/${i}`).join("\n"));
}

/** Docker's message, preceded by the setting to change where the cause is a common one. */
function explain(output: string): string {
  const text = output.trim();
  if (/overlaps with other one|Pool overlaps/.test(text)) {
    return `networkCidr overlaps another Docker network of this machine. Choose another: make up SET="networkCidr=10.73.0.0/16"\n${text}`;
  }
  if (/no space left on device/.test(text))
    return `the disk is full. Free some space (docker system df), then run make up again.\n${text}`;
  if (/address already in use|port is already allocated/.test(text))
    return `a port is taken by another program.\n${text}`;
  return text.split("\n").slice(-15).join("\n");
}
