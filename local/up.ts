import { join } from "node:path";
import { hasMesos } from "../cluster/architectures/index.ts";
import { hasHub } from "../cluster/features.ts";
import { GROUPS } from "../cluster/groups.ts";
import type { ImageName } from "../cluster/image-catalogue.ts";
import { imagesOf, layerArguments, localReference, mesosIn, mesosParts } from "../cluster/images.ts";
import { checkToday, describeCluster } from "../cluster/load.ts";
import { loginFiles } from "../cluster/probe.ts";
import { publishedAddress } from "../cluster/publishing.ts";
import { counted, withAgents } from "../cluster/scaling.ts";
import { jupyterBase } from "../cluster/services/client/client.ts";
import { gatewayOrigin } from "../cluster/services/gateway/entrance.ts";
import { GATEWAY_PASSWORD } from "../cluster/services/gateway/gateway.ts";
import { pageTitles } from "../cluster/services/gateway/pages.ts";
import { authorityOf } from "../cluster/services/gateway/tls.ts";
import type { Cluster, Gate, Service } from "../cluster/types.ts";
import { placeholder } from "../cluster/values.ts";
import type { Config } from "../config/schema.ts";
import { pinnedVersions } from "../lib/checkout.ts";
import { EXIT_INTERRUPTED, UserError } from "../lib/errors.ts";
import { captured, interactive } from "../lib/exec.ts";
import { applyApps } from "../marathon/apply.ts";
import { direct } from "../marathon/direct.ts";
import { fetchArchives, type MesosArchive } from "../mesos/archive.ts";
import { applyQuotas } from "../mesos/quotas.ts";
import { containerName, type Link, publishedLinks, volumeName } from "../render/compose.ts";
import { containerImage } from "../render/container.ts";
import { renderApps } from "../render/marathon-apps.ts";
import { missingBeforeUp } from "../render/plan.ts";
import { type Opened, summary, type Typed } from "../render/summary.ts";
import { configHere } from "./agents.ts";
import { checkAskedFor, checkControlGroups } from "./control-groups.ts";
import { checkDevices } from "./devices.ts";
import { type Docker, docker, dockerLines, findDocker } from "./docker.ts";
import { containerStates, cutOff, waitGate, waitHealthy } from "./health.ts";
import { onDocker } from "./operator.ts";
import { takenPorts } from "./ports.ts";
import {
  composeFile,
  find,
  keepLastUp,
  otherHome,
  type Project,
  projectOf,
  readSecret,
  remove,
  renewSecrets,
  scratchVolumes,
  writeProject,
} from "./project.ts";
import { SmokeFailed, smoke } from "./smoke.ts";
import { trustingThisMachine } from "./trust.ts";

/** What `up` works with. */
export interface UpOptions {
  /** Folder of the checkout. */
  root: string;
  /** Name of the environment, for messages. */
  environment: string;
  config: Config;
  /** Run the smoke job at the end. */
  smoke: boolean;
  /** Secrets to replace, once nothing else stops the run. @default none */
  renew?: readonly string[];
  /** Agents that there are to be, where the config gives a range of them. @default those that there are */
  agents?: number;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/**
 * Brings the cluster up on this machine's Docker, or finds that it is up already.
 *
 * @throws UserError where it cannot be brought up; a cluster that was not there before is removed again.
 */
export async function up(options: UpOptions): Promise<void> {
  const { root, environment, smoke: withSmoke, renew = [], agents } = options;
  const given = trustingThisMachine(options.config, process.env);
  checkToday(given, environment);
  const missing = missingBeforeUp({ config: given }, environment);
  if (missing.length > 0)
    throw new UserError(`${environment}: still to be set, nothing was started:\n  ${missing.join("\n  ")}`);

  const d = await findDocker();
  const project = projectOf(root, given.clusterName);
  const config = agents === undefined ? await configHere(d, project, given) : withAgents(given, agents);
  const cluster = describeCluster(config);
  const before = await find(d, project);
  const fresh = before.containers.length === 0;
  const home = await otherHome(d, project, before);
  if (home !== undefined) {
    throw new UserError(
      `a cluster named "${config.clusterName}" that was brought up in ${home} is on this machine; nothing was changed. Fix: make down there, or choose another clusterName, networkCidr and ports here (docs/CONFIG.md).`,
    );
  }
  const links = publishedLinks(cluster);
  if (fresh) await checkPorts(links);

  const abort = new AbortController();
  const onSignal = (): void => abort.abort();
  // Not once: a second Ctrl-C must not end the cleaning up that the first one began.
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  let begun = false;
  try {
    say(`${cluster.name}: ${cluster.architecture}, ${cluster.machines.length} machines as containers`);
    if (agents === undefined && config.agentCount !== given.agentCount)
      say(`  ${counted(config.agentCount)}, as there are: triplewide scale changes that, from agentsMin to agentsMax`);
    const inContainers = hasMesos(config) && cluster.services.some((s) => s.needs?.includes("docker-socket"));
    checkDevices(config, environment);
    if (inContainers) await checkAskedFor(d, config, environment);
    const mesos = await fetchArchives({ config, environment, root, docker: d.client, signal: abort.signal });
    await buildImages(root, cluster, mesos, abort.signal);
    if (inContainers) {
      const image = localReference("spark-python", config, pinnedVersions(root));
      await checkControlGroups(d, image, config, environment);
    }
    begun = true;
    if (renew.length > 0) renewSecrets(project, renew);
    const statesBefore = await containerStates(d, before.containers);
    const run: Run = { d, project, cluster, root, say: (line) => say(`  ${line}`), signal: abort.signal };
    const containers = await startContainers(run);
    await waitHealthy(d, containers, config.readyTimeoutSeconds, run.say, abort.signal);
    await passGates(
      run,
      cluster.gates.filter((gate) => !GROUPS[gate.group].gatedLast),
    );
    const teams = await applyQuotas({
      ...onDocker(d, cluster),
      timeoutSeconds: config.readyTimeoutSeconds,
    });
    const apps = await runApps(root, cluster, project, abort.signal);
    await passGates(
      run,
      cluster.gates.filter((gate) => GROUPS[gate.group].gatedLast),
    );
    const statesAfter = await containerStates(d, containers);
    const key = (s: { id: string; startedAt: string }): string => `${s.id} ${s.startedAt}`;
    const known = new Set(statesBefore.map(key));
    const changed = statesAfter.filter((s) => !known.has(key(s)));
    const names = [...changed.map((s) => s.name), ...apps, ...teams.map((role) => `quota of ${role}`)];
    if (names.length === 0 && statesBefore.length === statesAfter.length)
      say("Nothing to change: the cluster is as the config says.");
    else if (!fresh) say(`Changed: ${names.join(", ") || "containers removed"}`);
    if (withSmoke) {
      const code = await smoke({ docker: d, cluster, json: false, signal: abort.signal });
      abort.signal.throwIfAborted();
      if (code !== 0)
        throw new SmokeFailed(
          "the cluster is up, but the smoke job failed (see above). It is left running: make logs, make smoke, make down",
        );
    }
    if (agents === undefined) keepLastUp(project);
    printSummary(cluster, links, project, environment);
  } catch (error) {
    const interrupted = abort.signal.aborted;
    const cleaning = begun && removesOnFailure(fresh, error);
    if (interrupted) say(`\n${interruption(begun, cleaning)}`);
    else if (cleaning) say("Removing what this run started.");
    if (cleaning) await remove(d, project, before.volumes.length === 0);
    if (interrupted) process.exitCode = EXIT_INTERRUPTED;
    else throw error;
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

/**
 * Whether a run that failed removes what it started: a cluster that was there before stays, and so does one that works and
 * on which only the smoke job failed.
 *
 * @param fresh No container of the cluster was there before.
 */
export function removesOnFailure(fresh: boolean, error: unknown): boolean {
  return fresh && !(error instanceof SmokeFailed);
}

/** What an interrupted run says of what it leaves behind. */
function interruption(begun: boolean, cleaning: boolean): string {
  if (!begun) return "Interrupted. Nothing was started or changed.";
  if (cleaning) return "Interrupted: removing what this run started.";
  return "Interrupted. The cluster that was there before is left as it is; run `make up` again to finish.";
}

async function checkPorts(links: readonly Link[]): Promise<void> {
  const taken = await takenPorts(links);
  if (taken.length === 0) return;
  const lines = taken.map((link) => {
    const { key } = link;
    if (key === undefined) return `  ${link.address}:${link.port} is taken by another program. Fix: stop it.`;
    return `  ${key}: ${link.address}:${link.port} is taken by another program. Fix: stop it, or choose another port: make up SET="${key}=${link.port + 1000}"`;
  });
  throw new UserError(
    `${taken.length === 1 ? "1 port is" : `${taken.length} ports are`} taken, nothing was started.\n${lines.join("\n")}`,
  );
}

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
  // A client that holds another Mesos than the daemons' image, or none, stands on another image than theirs.
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

/** Removes what agents that went have left: a new one of that name begins with nothing. */
async function removeScratch(d: Docker, project: Project, cluster: Cluster): Promise<void> {
  const wanted = new Set(
    cluster.services.flatMap((service) => service.dirs.map((dir) => `${project.name}_${volumeName(service, dir)}`)),
  );
  const left = (await scratchVolumes(d, project)).filter((name) => !wanted.has(name));
  if (left.length > 0) await docker(d, ["volume", "rm", "--force", ...left]);
}

/**
 * Gives data of an older release to the users that services have now, before one of them starts: a volume keeps the owner that
 * it was made with.
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
  // Whoever still writes there has rights that end now.
  const running = new Set(await dockerLines(d, ["ps", "--format", "{{.Names}}"]));
  const writers = old.map(({ service }) => containerName(cluster, service)).filter((name) => running.has(name));
  if (writers.length > 0) await docker(d, ["stop", ...writers]);
  await asRoot(old.map(({ service: { uid }, i }) => `chown -R ${uid}:${uid} /folders/${i}`).join("\n"));
}

/** Waits for gates, one after the other. */
export async function passGates({ d, cluster, say: report, signal }: Run, gates: readonly Gate[]): Promise<void> {
  for (const gate of gates) {
    await waitGate(d, gateContainer(cluster, gate), gate, cluster.config.readyTimeoutSeconds, signal);
    report(gate.what);
  }
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

/** Has Marathon run the cluster's apps. @returns Those that were changed. */
async function runApps(root: string, cluster: Cluster, project: Project, signal: AbortSignal): Promise<string[]> {
  const c = cluster.config;
  if (cluster.apps.length === 0) return [];
  const versions = pinnedVersions(root);
  const login = `marathon:${readSecret(project, "marathon-http")}`;
  const { put, remove } = await applyApps({
    http: direct(`${publishedAddress(c)}:${c.marathonPort}`, login, signal),
    apps: renderApps(cluster, (ref) =>
      ref.kind === "image" ? localReference(ref.name, c, versions) : placeholder(ref),
    ),
    timeoutSeconds: c.readyTimeoutSeconds,
    report: (line) => say(`  ${line}`),
    signal,
  });
  return [...put.map((app) => app.id), ...remove];
}

/** Where a gate's command finds the files that it reads: in the container of the service that has them. */
function gateContainer(cluster: Cluster, gate: Gate): string {
  const machine = cluster.machines.find((m) => m.group === gate.group);
  const services = cluster.services.filter((s) => s.machine === machine?.name);
  const reads = (s: Service): boolean => s.files.some((f) => loginFiles(gate.probe).includes(f.path));
  const service = services.find(reads) ?? services[0];
  if (!service) throw new Error(`no service on a machine of group ${gate.group}`);
  return containerName(cluster, service);
}

/** The gateway's link that logs in by itself: what follows `#` stays in the browser. @param to A page to open then. */
export function gatewayLink(c: Config, project: Project, to?: string): string {
  const query = to === undefined ? "" : `?to=${to}`;
  return `${gatewayOrigin(c, "")}/login${query}#${readSecret(project, GATEWAY_PASSWORD)}`;
}

/** JupyterLab's address, which logs in by itself. */
export function notebookLink(c: Config, project: Project): string {
  const path = `${jupyterBase(c)}lab`;
  if (c.gateway) return gatewayLink(c, project, path);
  return `http://${publishedAddress(c)}:${c.jupyterPort}${path}?token=${readSecret(project, "jupyter-token")}`;
}

/** Prints the addresses of the cluster's pages, and the commands that are useful next. */
export function printSummary(cluster: Cluster, links: readonly Link[], project: Project, environment: string): void {
  const env = environment === "local" ? "" : ` ENV=${environment}`;
  const typed: Typed[] = [
    [`make shell${env}`, "IPython with spark ready"],
    [`make notebook${env}`, "JupyterLab's address, with its login"],
    ...(hasHub(cluster.config)
      ? ([[`npx triplewide users --env ${environment}`, "the hub's address, and its users' first passwords"]] as const)
      : []),
    ...(cluster.config.sparkConnect
      ? ([[`npx triplewide connect --env ${environment}`, "how Python on this machine uses the cluster"]] as const)
      : []),
    ...(authorityOf(cluster)
      ? ([[`npx triplewide certificate --env ${environment}`, "whom a browser has to trust"]] as const)
      : []),
    [`make smoke${env}`, "run the smoke job again"],
    [`make status${env}`, "this screen, and what runs"],
    [`make logs${env}`, "what the services say"],
    [`make down${env}`, "stop and remove it; data stays (VOLUMES=1: its data too)"],
  ];
  say(`\n${summary(cluster, opened(cluster, links, project), typed)}`);
}

/** What a browser opens: the gateway, where there is one; else each page. */
function opened(cluster: Cluster, links: readonly Link[], project: Project): Opened[] {
  const c = cluster.config;
  if (c.gateway) {
    const pages = pageTitles(cluster).join(", ");
    return [
      {
        name: "Open",
        url: gatewayLink(c, project),
        note: `${pages}. The link logs in; the password is what follows #`,
      },
    ];
  }
  const jupyter: Opened = { name: "JupyterLab", url: notebookLink(c, project) };
  return [
    jupyter,
    ...links
      .filter(({ kind, port }) => kind === "http" && port !== c.jupyterPort)
      .map(({ service, name, https, address, port }) => ({
        name: name === "ui" || name === "http" ? service : name,
        url: `${https ? "https" : "http"}://${address}:${port}`,
      })),
  ];
}
