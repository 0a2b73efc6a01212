import type { Config } from "../../../config/schema.ts";
import type { Context } from "../../context.ts";
import { hasRegistry } from "../../features.ts";
import { platformOf } from "../../platforms.ts";
import { healthOf, tcp } from "../../probe.ts";
import type { Cluster, Machine, Service } from "../../types.ts";
import { secret } from "../../values.ts";

/** User of the cluster's own registry. */
export const REGISTRY_USER = "triplewide";

/** The cluster's own image registry: Debian's `docker-registry`, with a password. */
export function registry(ctx: Context, machine: Machine): Service {
  const port = ctx.config.registryPort;
  return {
    name: "registry",
    machine: machine.name,
    runtime: "systemd",
    image: undefined,
    command: ["/usr/bin/docker-registry", "serve", "/etc/triplewide/registry.yml"],
    env: {},
    files: [
      {
        path: "/etc/triplewide/registry.yml",
        content: {
          format: "text",
          text: [
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
        },
        mode: "0644",
      },
      // The registry knows bcrypt only; the machine hashes the password itself at first boot (`htpasswd -iB`).
      {
        path: "/etc/triplewide/registry-password",
        content: { format: "text", text: secret("registry") },
        mode: "0600",
      },
    ],
    ports: [
      {
        name: "http",
        key: "registryPort",
        port,
        from: ["master", "zookeeper", "agent", "datanode", "client", "bastion"],
      },
    ],
    health: healthOf(tcp(machine.address, port)),
    uid: 0,
    dirs: [{ path: "/var/lib/registry", lasts: "data" }],
    memoryMiB: 1024,
    after: [],
    software: {
      packages: ["docker-registry", "apache2-utils"],
      maskedUnits: ["docker-registry.service"],
    },
  };
}

/** Name of the secret by which machines pull images; none where they need no password. */
export function pullSecret(c: Config): string | undefined {
  if (!platformOf(c).pullsImages) return undefined;
  if (hasRegistry(c)) return "registry";
  return c.registryUser === undefined ? undefined : "registry-password";
}

/** How machines log in to a registry. */
export interface PullLogin {
  server: string;
  user: string;
  /** Name of the secret that is the password. */
  secret: string;
}

/** `address:port` of the cluster's own registry; `undefined` where it has none. */
export function ownRegistry({ machines, config: c }: Pick<Cluster, "machines" | "config">): string | undefined {
  const machine = machines.find((m) => m.roles.includes("registry"));
  return machine && `${machine.address}:${c.registryPort}`;
}

/** How machines log in to the registry that they pull images from; `undefined` where they need no password. */
export function pullLogin(cluster: Cluster): PullLogin | undefined {
  const c = cluster.config;
  const name = pullSecret(c);
  if (name === undefined) return undefined;
  const own = ownRegistry(cluster);
  if (own !== undefined) return { server: own, user: REGISTRY_USER, secret: name };
  return { server: (c.registry ?? "").replace(/\/.*$/, ""), user: c.registryUser ?? "", secret: name };
}

/** Whether a machine with this service pulls images: for itself, for its tasks, or to take Mesos out of one. */
export function pullsImages(c: Config, service: Pick<Service, "runtime" | "startsContainers" | "software">): boolean {
  if (service.runtime === "docker" || service.startsContainers !== undefined) return true;
  return service.software?.mesos === true && (c.mesosSource ?? "").startsWith("docker://");
}
