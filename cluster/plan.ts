import { hasMesos } from "../config/ports.ts";
import { filledApps, fillImages, localReference } from "./images.ts";
import type { Cluster, ImageName, Service } from "./types.ts";

/** What `plan --json` prints. Secrets stand as `{{secret:NAME}}`. */
export interface PlanDocument {
  architecture: string;
  machines: { name: string; roles: string[]; address: string }[];
  services: Pick<Service, "name" | "machine" | "runtime" | "command" | "env" | "files" | "ports" | "health">[];
  spark: Cluster["spark"];
  quota: Cluster["quota"];
  /** What Marathon keeps running; left out where there is no Marathon. */
  apps?: Cluster["apps"];
}

type Versions = Readonly<Record<string, string>>;

/** Reference by which a machine pulls an image, as far as it is known without a registry: by tag. */
function referenceOf(cluster: Cluster, versions: Versions): (name: ImageName) => string {
  const c = cluster.config;
  if (c.platform === "docker") return (name) => localReference(name, c, versions);
  const registry = cluster.machines.find((m) => m.group === "registry");
  const prefix = c.registry || `${registry?.address}:${c.registryPort}`;
  return (name) => `${prefix}/${localReference(name, c, versions)}`;
}

function fillRecord(record: Record<string, string>, fill: (text: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, fill(value)]));
}

/** The plan as one document, for programs. */
export function planDocument(cluster: Cluster, versions: Versions): PlanDocument {
  const reference = referenceOf(cluster, versions);
  const fill = (text: string): string => fillImages(text, reference);
  return {
    architecture: cluster.architecture,
    machines: cluster.machines.map(({ name, roles, address }) => ({ name, roles, address })),
    services: cluster.services.map((s) => ({
      name: s.name,
      machine: s.machine,
      runtime: s.runtime,
      image: reference(s.image),
      command: s.command,
      env: fillRecord(s.env, fill),
      files: s.files.map((f) => ({ ...f, content: fill(f.content) })),
      ports: s.ports,
      health: s.health,
    })),
    spark: {
      conf: fillRecord(cluster.spark.conf, fill),
      env: fillRecord(cluster.spark.env, fill),
      master: cluster.spark.master,
    },
    quota: cluster.quota,
    ...(cluster.apps.length > 0 ? { apps: filledApps(cluster.apps, fill) } : {}),
  };
}

/** Settings that a plan can do without but `up` cannot. */
export function missingBeforeUp(cluster: Cluster): string[] {
  const c = cluster.config;
  return hasMesos(c) && c.mesosSource === ""
    ? ["mesosSource: where Mesos comes from (docker://…@sha256:…, https://…#sha256=… or file:///…#sha256=…)"]
    : [];
}

/** More machines of one group than this are shown as a range. */
const SHOWN = 8;

/** The plan for people. */
export function planText(cluster: Cluster, versions: Versions, environment: string, files: boolean): string {
  const c = cluster.config;
  const out: string[] = [];
  const line = (text = ""): void => void out.push(text);

  line(
    `${cluster.name}: ${cluster.architecture} on ${c.platform}, Spark ${c.sparkVersion} (environment ${environment})`,
  );
  line();
  line("Machines");
  const rows: string[][] = [["name", "address", "roles", "flavor", "volume", "zone"]];
  for (const [, members] of Map.groupBy(cluster.machines, (m) => m.group)) {
    const shown = members.length > SHOWN ? [...members.slice(0, 2), undefined, ...members.slice(-1)] : members;
    for (const m of shown) {
      if (!m) rows.push([`… ${members.length - 3} more`, "", "", "", "", ""]);
      else {
        const volume = m.volumeGb > 0 ? `${m.volumeGb} GB` : "-";
        rows.push([m.name, m.address, m.roles.join(", "), m.flavor || "-", volume, m.availabilityZone || "-"]);
      }
    }
  }
  line(table(rows));
  line("Services");
  const serviceRows: string[][] = [["service", "on", "runs as", "ports (who may connect)"]];
  for (const [name, group] of Map.groupBy(cluster.services, (s) => s.name)) {
    const first = group[0] as Service;
    const on = group.length > SHOWN ? `${group.length} machines` : group.map((s) => s.machine).join(", ");
    const ports = first.ports.map(
      (p) => `${p.port}${p.last ? `-${p.last}` : ""} ${p.name} (${p.from.join(", ") || "itself"})`,
    );
    serviceRows.push([name, on, first.runtime, ports.join("; ")]);
  }
  line(table(serviceRows));
  line("Spark");
  line(`  MASTER ${cluster.spark.master}`);
  for (const [key, value] of Object.entries(cluster.spark.env)) line(`  ${key}=${value}`);
  const document = planDocument(cluster, versions);
  for (const key of Object.keys(document.spark.conf).sort()) line(`  ${key} ${document.spark.conf[key]}`);
  line();
  if (c.platform === "openstack") {
    const q = cluster.quota;
    line("Quota");
    line(
      table([
        ["instances", "vCPUs", "RAM MiB", "ports", "volumes", "GB", "floating IPs", "security groups", "rules"],
        [
          q.instances,
          q.vcpus ?? "?",
          q.ramMiB ?? "?",
          q.ports,
          q.volumes,
          q.gigabytes,
          q.floatingIps,
          q.securityGroups,
          q.securityGroupRules,
        ].map(String),
      ]),
    );
    if (q.vcpus === null)
      line("  ? the flavors' sizes are not in flavorSizes; the cloud is asked before anything is created\n");
    const lost = cluster.machines.filter((m) => m.volumeGb === 0 && m.group !== "agent" && m.group !== "bastion");
    if (!c.dataVolumes && lost.length > 0) {
      line(`Without data volumes, replacing a machine loses its state: ${lost.map((m) => m.name).join(", ")}`);
      line();
    }
  }
  if (files) {
    line("Files");
    for (const s of document.services) {
      for (const f of s.files) {
        line(`--- ${s.machine}: ${f.path} (${f.mode}, ${s.name})`);
        line(f.content.trimEnd());
      }
    }
    for (const app of document.apps ?? []) {
      line(`--- Marathon: ${app.id}`);
      line(JSON.stringify(app, null, 2));
    }
    line();
  }
  const missing = missingBeforeUp(cluster);
  if (missing.length > 0) {
    line("Still to be set before `up`");
    for (const text of missing) line(`  ${text}`);
  }
  return `${out.join("\n").trimEnd()}\n`;
}

function table(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((r) => (r[i] ?? "").length)));
  return rows
    .map((r) => `  ${r.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd().concat("\n"))
    .join("");
}
