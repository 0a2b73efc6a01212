import { hasMesos } from "../cluster/architectures/index.ts";
import { GROUPS } from "../cluster/groups.ts";
import { localReference } from "../cluster/images.ts";
import { checkToday, describeCluster } from "../cluster/load.ts";
import { loginFiles } from "../cluster/probe.ts";
import { publishedAddress } from "../cluster/publishing.ts";
import { counted, withAgents } from "../cluster/scaling.ts";
import { SECRET_NAMES } from "../cluster/secret-names.ts";
import type { Cluster, Gate, Service } from "../cluster/types.ts";
import { placeholder } from "../cluster/values.ts";
import type { Config } from "../config/schema.ts";
import { pinnedVersions } from "../lib/checkout.ts";
import { EXIT_INTERRUPTED, UserError } from "../lib/errors.ts";
import { abortOnInterrupt, say } from "../lib/terminal.ts";
import { applyApps } from "../marathon/apply.ts";
import { direct } from "../marathon/direct.ts";
import { fetchArchives } from "../mesos/archive.ts";
import { applyQuotas } from "../mesos/quotas.ts";
import { containerName, type Link, publishedLinks } from "../render/compose.ts";
import { renderApps } from "../render/marathon-apps.ts";
import { missingBeforeUp } from "../render/plan.ts";
import { configHere } from "./agents.ts";
import { type Run, startContainers } from "./containers.ts";
import { checkAskedFor, checkControlGroups } from "./control-groups.ts";
import { checkDevices } from "./devices.ts";
import { findDocker } from "./docker.ts";
import { containerStates, waitGate, waitHealthy } from "./health.ts";
import { buildImages } from "./images.ts";
import { onDocker } from "./operator.ts";
import { takenPorts } from "./ports.ts";
import { find, keepLastUp, otherHome, type Project, projectOf, readSecret, remove, renewSecrets } from "./project.ts";
import { SmokeFailed, smoke } from "./smoke.ts";
import { printSummary } from "./summary.ts";
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

  const { signal, stop } = abortOnInterrupt();
  let begun = false;
  try {
    say(`${cluster.name}: ${cluster.architecture}, ${cluster.machines.length} machines as containers`);
    if (agents === undefined && config.agentCount !== given.agentCount)
      say(`  ${counted(config.agentCount)}, as there are: triplewide scale changes that, from agentsMin to agentsMax`);
    const inContainers = hasMesos(config) && cluster.services.some((s) => s.needs?.includes("docker-socket"));
    checkDevices(config, environment);
    if (inContainers) await checkAskedFor(d, config, environment);
    const mesos = await fetchArchives({ config, environment, root, docker: d.client, signal });
    await buildImages(root, cluster, mesos, signal);
    if (inContainers) {
      const image = localReference("spark-python", config, pinnedVersions(root));
      await checkControlGroups(d, image, config, environment);
    }
    begun = true;
    if (renew.length > 0) renewSecrets(project, renew);
    const statesBefore = await containerStates(d, before.containers);
    const run: Run = { d, project, cluster, root, say: (line) => say(`  ${line}`), signal };
    const containers = await startContainers(run);
    await waitHealthy(d, containers, config.readyTimeoutSeconds, run.say, signal);
    await passGates(
      run,
      cluster.gates.filter((gate) => !GROUPS[gate.group].gatedLast),
    );
    const teams = await applyQuotas({
      ...onDocker(d, cluster),
      timeoutSeconds: config.readyTimeoutSeconds,
    });
    const apps = await runApps(root, cluster, project, signal);
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
      const code = await smoke({ docker: d, cluster, json: false, signal });
      signal.throwIfAborted();
      if (code !== 0)
        throw new SmokeFailed(
          "the cluster is up, but the smoke job failed (see above). It is left running: make logs, make smoke, make down",
        );
    }
    if (agents === undefined) keepLastUp(project);
    printSummary(cluster, links, project, environment);
  } catch (error) {
    const interrupted = signal.aborted;
    const cleaning = begun && removesOnFailure(fresh, error);
    if (interrupted) say(`\n${interruption(begun, cleaning)}`);
    else if (cleaning) say("Removing what this run started.");
    if (cleaning) await remove(d, project, before.volumes.length === 0);
    if (interrupted) process.exitCode = EXIT_INTERRUPTED;
    else throw error;
  } finally {
    stop();
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

/** Waits for gates, one after the other. */
export async function passGates({ d, cluster, say: report, signal }: Run, gates: readonly Gate[]): Promise<void> {
  for (const gate of gates) {
    await waitGate(d, gateContainer(cluster, gate), gate, cluster.config.readyTimeoutSeconds, signal);
    report(gate.what);
  }
}

/** Has Marathon run the cluster's apps. @returns Those that were changed. */
async function runApps(root: string, cluster: Cluster, project: Project, signal: AbortSignal): Promise<string[]> {
  const c = cluster.config;
  if (cluster.apps.length === 0) return [];
  const versions = pinnedVersions(root);
  const login = `marathon:${readSecret(project, SECRET_NAMES.marathon)}`;
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
