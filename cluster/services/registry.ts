import { hasRegistry } from "../../config/ports.ts";
import type { Config } from "../../config/schema.ts";
import type { Context } from "../context.ts";
import { healthOf, tcpProbe } from "../probe.ts";
import { type Cluster, type Machine, type Service, secret } from "../types.ts";

/** User of the cluster's own registry. */
export const REGISTRY_USER = "triplewide";

/** The cluster's own image registry: Debian's `docker-registry`, with a password. */
export function registry(ctx: Context, machine: Machine): Service {
  const port = ctx.config.registryPort;
  return {
    name: "registry",
    machine: machine.name,
    runtime: "systemd",
    image: "registry",
    command: ["/usr/bin/docker-registry", "serve", "/etc/triplewide/registry.yml"],
    env: {},
    files: [
      {
        path: "/etc/triplewide/registry.yml",
        content: [
          "version: 0.1",
          "log: {level: warn}",
          "storage:",
          "  filesystem: {rootdirectory: /var/lib/registry}",
          "  delete: {enabled: true}",
          `http: {addr: "${machine.address}:${port}"}`,
          "auth:",
          "  htpasswd: {realm: triplewide, path: /etc/triplewide/htpasswd}",
          "",
        ].join("\n"),
        mode: "0644",
      },
      // The registry knows bcrypt only; the machine hashes the password itself at first boot (`htpasswd -iB`).
      {
        path: "/etc/triplewide/registry-password",
        content: secret("registry"),
        mode: "0600",
      },
    ],
    ports: [{ name: "http", port, from: ["master", "zookeeper", "agent", "datanode", "client", "bastion"] }],
    health: healthOf(tcpProbe(machine.address, port)),
    uid: 0,
    dirs: [{ path: "/var/lib/registry", keep: true }],
    memoryMiB: 1024,
    after: [],
  };
}

/** Name of the secret by which machines pull images; none where they need no password. */
export function pullSecret(c: Config): string | undefined {
  if (c.platform === "docker") return undefined;
  if (hasRegistry(c)) return "registry";
  return c.registryUser === "" ? undefined : "registry-password";
}

/** How machines log in to the registry that they pull images from. */
export function pullLogin(cluster: Cluster): { server: string; user: string; secret: string } | undefined {
  const c = cluster.config;
  const name = pullSecret(c);
  if (name === undefined) return undefined;
  if (hasRegistry(c)) {
    const machine = cluster.machines.find((m) => m.group === "registry");
    return { server: `${machine?.address}:${c.registryPort}`, user: REGISTRY_USER, secret: name };
  }
  return { server: c.registry.replace(/\/.*$/, ""), user: c.registryUser, secret: name };
}

/** Whether a machine with this service pulls images: for itself, for its tasks, or to take Mesos out of one. */
export function pullsImages(c: Config, service: Service): boolean {
  if (service.runtime === "docker") return true;
  if (!service.name.startsWith("mesos-")) return false;
  return (service.env.MESOS_containerizers ?? "").includes("docker") || c.mesosSource.startsWith("docker://");
}
