import { LOOPBACK } from "../../../lib/loopback.ts";
import type { WiredContext } from "../../context.ts";
import { scrapers } from "../../features.ts";
import { healthOf, http } from "../../probe.ts";
import type { Machine, Page, Service } from "../../types.ts";
import { door } from "../gateway/gateway.ts";
import { mesosAuthority } from "../mesos/libprocess.ts";
import { viewerLogin } from "../mesos/mesos.ts";
import { targetList, targetsOf } from "./targets.ts";

/** Prometheus, which measures the cluster, and the exporter of each machine's own metrics. */

/** User of both: nobody else's, because users' programs must not write to what is measured. */
const METRICS_UID = 1004;
/** Whose data it was at first: the hub's user, by mistake. */
const FORMER_UID = 1002;
const DATA = "/var/lib/prometheus";
/** What Prometheus reads. It holds all machines, so it is no part of the client, and is read again every few seconds. */
const TARGETS = "/etc/prometheus/targets.json";
/** The dashboard at the gateway. */
const PAGE = {
  title: "Metrics",
  kind: "metrics",
  path: "metrics",
  first: "user/",
  readOnly: true,
} as const satisfies Page;

/** Prometheus with its alerts. @param others What the cluster runs besides, whose ports say what is measured. */
export function prometheus(ctx: WiredContext, machine: Machine, others: readonly Service[]): Service {
  const c = ctx.config;
  // It has no login. Behind the gateway nobody else needs it: on a laptop hub users' notebooks reach the client's other addresses.
  const behind = c.gateway ? ({ loopback: true } as const) : {};
  const address = c.gateway ? LOOPBACK : machine.address;
  const service: Service = {
    name: "prometheus",
    machine: machine.name,
    runtime: "docker",
    image: "prometheus",
    command: [
      "measure",
      `--storage.tsdb.retention.time=${c.metricsRetentionDays}d`,
      `--storage.tsdb.retention.size=${c.clientVolumeGb * 256}MB`,
      `--web.listen-address=${address}:${c.prometheusPort}`,
      // What its own links begin with.
      ...(c.gateway ? [`--web.external-url=/${PAGE.path}`] : []),
    ],
    env: { CLUSTER: c.clusterName, TRANSLATOR_PORT: String(c.metricsTranslatorPort) },
    files: [],
    ports: [
      {
        name: "ui",
        key: "prometheusPort",
        port: c.prometheusPort,
        from: c.gateway ? [] : ["bastion"],
        link: "http",
        page: { ...PAGE, ...behind },
        metrics: [{ path: "/metrics", ...behind }],
      },
      { name: "translator", key: "metricsTranslatorPort", port: c.metricsTranslatorPort, from: [] },
    ],
    health: healthOf(http(address, c.prometheusPort, "/-/ready", "^HTTP/1.[01] 200")),
    uid: METRICS_UID,
    dirs: [{ path: DATA, lasts: "data", formerly: FORMER_UID }],
    memoryMiB: 1024,
    after: [],
  };
  // The gateway is defined after this service, because it shows its page. Prometheus only needs the gateway's port.
  const gateway = c.gateway ? [{ name: "gateway", machine: machine.name, ports: [door(c)] }] : [];
  const value = targetList(targetsOf(ctx, [...others, service, ...gateway]));
  const targets = { path: TARGETS, content: { format: "json", value }, mode: "0644", until: "[]\n" } as const;
  const logins = ctx.architecture.mesos === "none" ? [] : [viewerLogin("/etc/prometheus/mesos-login")];
  return { ...service, files: [targets, ...logins, ...mesosAuthority(c, "/etc/prometheus/service-authority.pem")] };
}

/** The exporter of a machine's own metrics. */
export function nodeExporter(ctx: WiredContext, machine: Machine): Service {
  const c = ctx.config;
  return {
    name: "node-exporter",
    machine: machine.name,
    runtime: "systemd",
    image: "prometheus",
    command: ["/usr/bin/prometheus-node-exporter", `--web.listen-address=${machine.address}:${c.nodeExporterPort}`],
    env: {},
    files: [],
    ports: [
      {
        name: "metrics",
        key: "nodeExporterPort",
        port: c.nodeExporterPort,
        from: scrapers(c),
        metrics: [{ path: "/metrics", job: "machine" }],
      },
    ],
    health: healthOf(http(machine.address, c.nodeExporterPort, "/", "^HTTP/1.[01] 200")),
    uid: METRICS_UID,
    dirs: [],
    memoryMiB: 64,
    after: [],
    software: { packages: ["prometheus-node-exporter"], maskedUnits: ["prometheus-node-exporter.service"] },
  };
}
