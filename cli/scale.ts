import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { mesosStartsExecutors } from "../cluster/architectures/index.ts";
import { agentRange } from "../cluster/features.ts";
import { describeCluster, loadConfig } from "../cluster/load.ts";
import { platformOf } from "../cluster/platforms.ts";
import {
  type AgentUse,
  agentsAmong,
  counted,
  type Load,
  scaledAgents,
  wantedAgents,
  withAgents,
} from "../cluster/scaling.ts";
import type { Cluster, Machine } from "../cluster/types.ts";
import type { Config } from "../config/schema.ts";
import { NotThere, UserError } from "../lib/errors.ts";
import { captured } from "../lib/exec.ts";
import { ROOT } from "../lib/root.ts";
import { say } from "../lib/terminal.ts";
import { configHere } from "../local/agents.ts";
import { onDocker } from "../local/operator.ts";
import { lastUpHere, remove } from "../local/project.ts";
import { up as bringUp } from "../local/up.ts";
import { asRoot, onMachines } from "../machines/operator.ts";
import type { Ssh } from "../machines/ssh.ts";
import type { Operator } from "../mesos/leader.ts";
import { forgotten, leaveMesos, returnToMesos } from "../mesos/leave.ts";
import { mesosLoad } from "../mesos/load.ts";
import { Cloud } from "../openstack/cloud.ts";
import { AGENTS_VARIABLE, type ExistingMachine, existingMachines } from "../openstack/inventory.ts";
import { unitName } from "../render/cloud-init/paths.ts";
import { containerName } from "../render/compose.ts";
import { driverDemand } from "../spark/demand.ts";
import { leaveSpark } from "../spark/leave.ts";
import { agentDisk, sparkLoad } from "../spark/load.ts";
import type { OnMachines } from "../spark/master.ts";
import { type ConfigOptions, commandOf, projectFolder, setOption } from "./common.ts";
import { applyLifetime, type Endable } from "./lifetime.ts";
import { localCluster } from "./local.ts";
import { endBeganIn, historyOfStack, lastUpIn, machinesOfStack, OWN_MESSAGE } from "./stack.ts";
import { refreshMachines, refuseOtherChanges, SERVERS_ALONE, update } from "./update.ts";

/** An existing cluster, with operations that remove, release and make its agents. */
export interface Site {
  /** The cluster with its current agents. */
  cluster: Cluster;
  load: () => Promise<Load>;
  /** Stops new work on agents. @returns Agents on which something began at that moment. */
  sendAway: (agents: readonly Machine[]) => Promise<Machine[]>;
  /** Allows new work again on agents that were to be removed. */
  giveBack: (agents: readonly Machine[]) => Promise<void>;
  /**
   * Agents that cannot work because the cloud lost them or could not make them: the problem, by agent's name. They are made again if
   * they are needed.
   *
   * @default none
   */
  broken?: ReadonlyMap<string, string>;
  /** Throws if `apply` would change more than agents. Called before an agent is changed. @default never throws */
  refuse?: (agents: number) => Promise<void>;
  /** Changes the cluster's number of agents. */
  apply: (agents: number) => Promise<void>;
  /** Waits until masters have noticed that agents are gone. @default no wait is needed */
  forgotten?: (agents: readonly Machine[]) => Promise<void>;
}

type WholeSite = Site & Endable & { close: () => Promise<void> };

/**
 * Changes a cluster's agents to the number that it should have at a time.
 *
 * @param dryRun Only report what would be done.
 * @param report Takes one line at a time.
 */
export async function scaleSite(
  site: Site,
  { now, dryRun, report }: { now: Date; dryRun: boolean; report: (line: string) => void },
): Promise<void> {
  const { config, name } = site.cluster;
  const load = withBroken(await site.load(), site.broken);
  const { agents, reasons } = wantedAgents(config, now, load);
  const there = scaledAgents(site.cluster);
  report(`${name}: ${counted(there.length)}, ${agents === there.length ? "and that is right" : `should be ${agents}`}`);
  for (const reason of reasons) report(`  ${reason}`);
  const [staying, going] = [there.slice(0, agents), there.slice(agents)];
  const back = staying.filter((agent) => {
    const use = load.agents.get(agent.name);
    // Only idle agents are given back at once, because that would end executors that still run on them.
    return load.leaving.includes(agent.name) && use !== undefined && "idleMinutes" in use;
  });
  if (back.length > 0) report(`  ${namesOf(back)} was to go, and is given back`);
  if (dryRun) {
    report("Nothing was changed (--dry-run).");
    return;
  }
  if (back.length > 0) await site.giveBack(back);
  if (agents === there.length && !staying.some(({ name }) => isBroken(load, name))) return;
  await site.refuse?.(agents);
  try {
    const begun = going.length > 0 ? await site.sendAway(going) : [];
    if (begun.length > 0) {
      // Tasks that have just begun on these agents may be ended, and run again elsewhere. Then the agents take work again.
      await site.giveBack(going);
      report(`Something began on ${namesOf(begun)} in this moment: nothing was removed.`);
      return;
    }
    await site.apply(agents);
  } catch (error) {
    // Existing agents take work again. Removed ones do not answer.
    if (going.length > 0) await site.giveBack(going).catch(() => {});
    throw error;
  }
  if (going.length > 0) await site.forgotten?.(going);
}

/** The masters' information, and the cloud's about agents that they do not know. */
const withBroken = (load: Load, broken: ReadonlyMap<string, string> = new Map()): Load => ({
  ...load,
  agents: new Map<string, AgentUse>([
    ...[...broken].map(([name, why]) => [name, { broken: why }] as const),
    ...load.agents,
  ]),
});

const isBroken = ({ agents }: Load, name: string): boolean => "broken" in (agents.get(name) ?? {});

const namesOf = (machines: readonly Machine[]): string => machines.map(({ name }) => name).join(", ");

/** Operations on agents of Spark's own workers. @param restart Restarts a machine's service. */
const sparkAgents = (
  cluster: Cluster,
  on: OnMachines,
  restart: (machine: Machine, service: string) => Promise<unknown>,
): Pick<Site, "load" | "sendAway" | "giveBack"> => ({
  load: () => sparkLoad(cluster, on),
  sendAway: (agents) => leaveSpark(cluster, on, agents),
  giveBack: async (agents) => void (await Promise.all(agents.map((agent) => restart(agent, "spark-worker")))),
});

/** The same operations if Mesos starts executors. */
const mesosAgents = (operator: Operator, on: OnMachines): Pick<Site, "load" | "sendAway" | "giveBack"> => ({
  load: () =>
    mesosLoad(operator, {
      shuffles: async (agent) => (await agentDisk(on, agent, "shuffle"))?.shuffles,
      demand: (framework) => driverDemand(operator.cluster, on, framework),
    }),
  sendAway: (agents) => leaveMesos(operator, agents),
  giveBack: (agents) => returnToMesos(operator, agents),
});

/** The same operations on servers, by SSH. */
export function agentsOnMachines(cluster: Cluster, ssh: Pick<Ssh, "run">): Omit<Site, "cluster" | "apply"> {
  const on: OnMachines = {
    run: (machine, service, command) => {
      const found = cluster.services.find((s) => s.machine === machine.name && s.name === service);
      const inContainer = found?.runtime === "docker" ? ["docker", "exec", unitName(service)] : [];
      return asRoot(ssh, machine, [...inContainer, ...command]);
    },
  };
  const operator = onMachines(cluster, ssh);
  return mesosStartsExecutors(cluster.config)
    ? { ...mesosAgents(operator, on), forgotten: (agents) => forgotten(operator, agents) }
    : sparkAgents(cluster, on, (machine, name) => asRoot(ssh, machine, ["systemctl", "restart", unitName(name)]));
}

interface Options extends ConfigOptions {
  dryRun: boolean;
  notice?: string;
}

/** `triplewide scale`. */
export function scale(): Command {
  return commandOf(
    "scale",
    "Makes a cluster have as many agents as it needs now, and ends a forgotten one.",
    "Within agentsMin and agentsMax, by `hours`, by what jobs wait for, and by which agents nothing has run on for idleMinutes. Agents go from the highest number down, and only those on which nothing runs. With ttlHours, a cluster that nobody has brought up for so long is ended after a warning; its volumes stay. Meant to be run every few minutes (docs/OPERATIONS.md).",
    ["triplewide scale local --dry-run", "triplewide scale local --set agentsMin=1 --set agentsMax=3"],
  )
    .argument("<environment>", "name in Pulumi.<environment>.yaml")
    .option("--dry-run", "say what it would do and why, and change nothing", false)
    .option(
      "--notice <file>",
      "write what people should know of the cluster's end into this file; it is empty where there is nothing (default: none)",
    )
    .addOption(setOption())
    .action(async (environment: string, options: Options) => {
      const config = loadConfig(projectFolder(), environment, options.set);
      if (agentRange(config) === undefined && config.ttlHours === undefined) {
        throw new UserError(
          `environment "${environment}" has a number of agents (agentCount) and no range, and no ttlHours. Fix: set agentsMin and agentsMax, or ttlHours`,
        );
      }
      const tell = (notice: string): void => {
        if (options.notice !== undefined) writeFileSync(options.notice, notice === "" ? "" : `${notice}\n`);
      };
      const request: SiteRequest = { config, environment };
      const make = platformOf(config).machinesAreContainers ? dockerSite : stackSite;
      const site = await make(request).catch((error) => {
        if (!(error instanceof NotThere) || config.ttlHours === undefined) throw error;
        say(`${config.clusterName}: nothing of it runs, so there is nothing to do`);
      });
      if (site === undefined) return tell("");
      try {
        const how = { now: new Date(), dryRun: options.dryRun, report: say };
        const { ended, notice } = await applyLifetime(site, how);
        tell(notice);
        if (!ended && agentRange(config) !== undefined) await scaleSite(site, how);
      } finally {
        await site.close();
      }
    });
}

interface SiteRequest {
  config: Config;
  environment: string;
}

/** The site of a cluster on this machine's Docker. */
async function dockerSite({ config, environment }: SiteRequest): Promise<WholeSite> {
  const { docker: d, project } = await localCluster(config, environment);
  const cluster = describeCluster(await configHere(d, project, config));
  const containerOf = (machine: Machine, name: string): string => {
    const service = cluster.services.find((s) => s.machine === machine.name && s.name === name);
    if (!service) throw new Error(`no ${name} on ${machine.name}`);
    return containerName(cluster, service);
  };
  const on: OnMachines = {
    run: (machine, service, command) => captured(d.client, ["exec", containerOf(machine, service), ...command]),
  };
  return {
    cluster,
    ...(mesosStartsExecutors(config)
      ? mesosAgents(onDocker(d, cluster), on)
      : sparkAgents(cluster, on, (machine, name) => captured(d.client, ["restart", containerOf(machine, name)]))),
    apply: (agents) => bringUp({ root: ROOT, environment, config, smoke: false, agents }),
    lastUp: async () => lastUpHere(project),
    asRoot: (service, command) =>
      captured(d.client, ["exec", "--user", "0:0", containerName(cluster, service), ...command]),
    end: async () => void (await remove(d, project, false)),
    upCommand: `make up${environment === "local" ? "" : ` ENV=${environment}`}`,
    close: async () => {},
  };
}

/** The problem of an agent without a server, or with one in ERROR. */
function brokenAgent(name: string, there: ExistingMachine | undefined): [string, string][] {
  if (there?.serverId === undefined) return [[name, "is not there: the cloud has no server of that name"]];
  return there.status === "ERROR" ? [[name, `is broken: ${there.fault ?? "the cloud says ERROR"}`]] : [];
}

/** The site of a stack on OpenStack. */
async function stackSite({ config, environment }: SiteRequest): Promise<WholeSite> {
  const there = await Cloud.with({ folder: projectFolder() }, (cloud) => existingMachines(cloud, config.clusterName));
  // A cluster that was ended has ports, but no servers.
  if (agentsAmong(config, there.keys()) === 0 || [...there.values()].every(({ serverId }) => serverId === undefined)) {
    throw new NotThere(`the cloud has no agents of "${config.clusterName}". Fix: pulumi up --stack ${environment}`);
  }
  const cluster = describeCluster(withAgents(config, agentsAmong(config, there.keys())));
  const { ssh } = await machinesOfStack(cluster, environment);
  const broken = new Map(scaledAgents(cluster).flatMap(({ name }) => brokenAgent(name, there.get(name))));
  const told = (agents: number) => ({ [AGENTS_VARIABLE]: String(agents) });
  let read: ReturnType<typeof historyOfStack> | undefined;
  const history = () => {
    read ??= historyOfStack(environment);
    return read;
  };
  return {
    cluster,
    ...agentsOnMachines(cluster, ssh),
    broken,
    refuse: async (agents) => {
      const gone = [...broken.keys()].filter((name) => there.get(name)?.serverId === undefined);
      if (gone.length > 0) await refreshMachines(environment, cluster, gone);
      await refuseOtherChanges(environment, cluster, "agents", told(agents), [...broken.keys()]);
    },
    apply: (agents) => update(environment, "up", [], { message: OWN_MESSAGE, env: told(agents) }),
    lastUp: async () => {
      const time = lastUpIn(await history());
      if (time !== undefined) return time;
      throw new UserError(`stack ${environment} knows of no update. Fix: pulumi up --stack ${environment}`);
    },
    endBegan: async () => endBeganIn(await history()),
    asRoot: (service, command) => {
      const machine = cluster.machines.find(({ name }) => name === service.machine);
      if (!machine) throw new Error(`no machine ${service.machine}`);
      return asRoot(ssh, machine, ["docker", "exec", "--user", "0:0", unitName(service.name), ...command]);
    },
    end: () => update(environment, "destroy", SERVERS_ALONE, { message: OWN_MESSAGE }),
    upCommand: `pulumi up --stack ${environment}`,
    close: () => ssh.close(),
  };
}
