import { GROUP_ATTRIBUTE } from "../cluster/agent-groups.ts";
import type { App, Cluster } from "../cluster/types.ts";
import { fill, image, type LookUp } from "../cluster/values.ts";
import { shellQuote } from "../lib/quote.ts";
import { probeCommand } from "./probe.ts";

/** An app as Marathon's HTTP interface takes it. */
export type MarathonApp = Readonly<Record<string, unknown>> & {
  readonly id: string;
  readonly instances: number;
  readonly labels?: Readonly<Record<string, string>>;
};

/** What Marathon is to keep running, as its HTTP interface takes it; empty where there is no Marathon. */
export function renderApps(cluster: Pick<Cluster, "apps">, lookUp: LookUp): MarathonApp[] {
  return cluster.apps.map((app) => renderApp(app, lookUp));
}

function renderApp(app: App, lookUp: LookUp): MarathonApp {
  const [bash = "", option = "", script = ""] = probeCommand(app.health.probe);
  return {
    cmd: app.command,
    user: app.user,
    env: app.env,
    container: {
      type: "DOCKER",
      docker: {
        image: fill(image(app.image), lookUp),
        forcePullImage: false,
        parameters: [
          { key: "cap-drop", value: "ALL" },
          { key: "security-opt", value: "no-new-privileges" },
          ...(app.shmMiB === undefined ? [] : [{ key: "shm-size", value: `${app.shmMiB}m` }]),
          ...(app.openFiles === undefined
            ? []
            : [{ key: "ulimit", value: `nofile=${app.openFiles}:${app.openFiles}` }]),
        ],
      },
      volumes: [
        ...app.files.map((path) => ({ containerPath: path, hostPath: path, mode: "RO" })),
        ...app.folders.map((path) => ({ containerPath: path, hostPath: path, mode: "RW" })),
      ],
    },
    networks: [{ mode: "host" }],
    requirePorts: true,
    portDefinitions: app.ports.map(({ name, port }) => ({ port, protocol: "tcp", name })),
    constraints: [
      ["hostname", "UNIQUE"],
      ...(app.hosts ? [["hostname", "LIKE", app.hosts.join("|").replaceAll(".", "\\.")]] : []),
      // An agent without the attribute passes UNLIKE.
      ...(app.agentGroup === undefined
        ? []
        : [app.agentGroup === "none" ? [GROUP_ATTRIBUTE, "UNLIKE", ".*"] : [GROUP_ATTRIBUTE, "IS", app.agentGroup]]),
    ],
    healthChecks: [
      {
        // Not MESOS_HTTP, for which Mesos runs `curl`: not every agent has it.
        protocol: "COMMAND",
        command: { value: [bash, option, shellQuote(script)].join(" ") },
        gracePeriodSeconds: app.health.graceSeconds,
        intervalSeconds: app.health.intervalSeconds,
        timeoutSeconds: app.health.timeoutSeconds,
        maxConsecutiveFailures: app.health.retries,
      },
    ],
    backoffSeconds: 1,
    maxLaunchDelaySeconds: 60,
    taskKillGracePeriodSeconds: 10,
    id: app.id,
    instances: app.instances,
    cpus: app.cpus,
    mem: app.memoryMiB,
    // Never more tasks than there are: ports are the machines' own, so the new one can only start where an old one ended.
    upgradeStrategy: { minimumHealthCapacity: app.healthyWhileUpdated, maximumOverCapacity: 0 },
    ...(app.dependsOn ? { dependencies: app.dependsOn } : {}),
  };
}
