import type { Config } from "../../../config/schema.ts";
import { SECRET_KEYS } from "../../../config/secrets.ts";
import { identityOf, serviceAuthority } from "../../authority.ts";
import type { Context } from "../../context.ts";
import { hasRegistry } from "../../features.ts";
import { platformOf } from "../../platforms.ts";
import { healthOf, tcp } from "../../probe.ts";
import { SECRET_NAMES } from "../../secret-names.ts";
import type { Cluster, Machine, Service } from "../../types.ts";
import { secret, text, type Value } from "../../values.ts";
import { CERTIFICATE } from "../prometheus/targets.ts";

/** User of the cluster's own registry who pulls images: every machine that runs some. */
export const REGISTRY_USER = "triplewide";
/** User who pushes them: whoever runs `pulumi up`. */
export const PUSH_USER = "triplewide-push";

/**
 * The cluster's own image registry, Debian's `docker-registry`, as two processes over the same images, each with a password of its
 * own: distribution knows users but no rights. This one takes images, on its machine's loopback interface: whoever pushes comes there by
 * SSH, which encrypts all of the way.
 */
export function registry(ctx: Context, machine: Machine): Service {
  const { registryPushPort } = ctx.config;
  return {
    ...process(
      machine,
      "registry",
      PUSH_USER,
      SECRET_NAMES.registryPush,
      { address: PUSH_ADDRESS, port: registryPushPort },
      [],
    ),
    ports: [{ name: "push", key: "registryPushPort", port: registryPushPort, from: [] }],
    dirs: [{ path: STORAGE, lasts: "data" }],
  };
}

/** The same images for machines, by HTTPS: nothing can be written by it. */
export function registryReader(ctx: Context, machine: Machine): Service {
  const { registryPort } = ctx.config;
  // Nor may the process: the folder is the other one's.
  const readOnly = ["  maintenance: {readonly: {enabled: true}, uploadpurging: {enabled: false}}"];
  const at = { address: machine.address, port: registryPort };
  const { certificate, key } = identityOf(ctx.config, machine, "registry", ["server"]);
  const [certificateFile, keyFile] = [`${CONF}/registry.crt`, `${CONF}/registry.key`];
  const tls = [`  tls: {certificate: ${certificateFile}, key: ${keyFile}}`];
  const reader = process(machine, "registry-reader", REGISTRY_USER, SECRET_NAMES.registryPull, at, readOnly, tls);
  return {
    ...reader,
    files: [
      ...reader.files,
      { path: certificateFile, content: { format: "text", text: certificate }, mode: "0644" },
      { path: keyFile, content: { format: "text", text: key }, mode: "0600" },
    ],
    ports: [
      {
        name: "http",
        key: "registryPort",
        port: registryPort,
        from: ["master", "zookeeper", "agent", "datanode", "client"],
        metrics: [CERTIFICATE],
      },
    ],
    after: ["registry"],
  };
}

const STORAGE = "/var/lib/registry";
const CONF = "/etc/triplewide";
/** Where the registry takes images: nothing but its own machine reaches that. */
export const PUSH_ADDRESS = "127.0.0.1";

function process(
  machine: Machine,
  name: string,
  user: string,
  password: string,
  { address, port }: { address: string; port: number },
  storage: readonly string[],
  tls: readonly string[] = [],
): Service {
  const conf = `${CONF}/${name}`;
  return {
    name,
    machine: machine.name,
    runtime: "systemd",
    image: undefined,
    command: ["/usr/bin/docker-registry", "serve", `${conf}.yml`],
    env: {},
    files: [
      {
        path: `${conf}.yml`,
        content: {
          format: "text",
          text: [
            "version: 0.1",
            "log: {level: warn}",
            "storage:",
            `  filesystem: {rootdirectory: ${STORAGE}}`,
            "  delete: {enabled: true}",
            ...storage,
            "http:",
            `  addr: "${address}:${port}"`,
            ...tls,
            "auth:",
            `  htpasswd: {realm: triplewide, path: ${conf}.htpasswd}`,
            "",
          ].join("\n"),
        },
        mode: "0644",
      },
      // The registry knows bcrypt only; the machine hashes the password itself at first boot (`htpasswd -iB`).
      { path: `${conf}.password`, content: { format: "text", text: text`${user}:${secret(password)}` }, mode: "0600" },
    ],
    ports: [],
    health: healthOf(tcp(address, port)),
    uid: 0,
    dirs: [],
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
  if (hasRegistry(c)) return SECRET_NAMES.registryPull;
  return c.registryUser === undefined ? undefined : SECRET_KEYS.registryPassword;
}

/** How machines log in to a registry. */
export interface PullLogin {
  server: string;
  user: string;
  /** Name of the secret that is the password. */
  secret: string;
  /** Certificate, in PEM, of the authority that vouches for the server. @default any that the machine trusts */
  authority?: Value;
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
  if (own !== undefined) return { server: own, user: REGISTRY_USER, secret: name, authority: serviceAuthority(c) };
  return { server: (c.registry ?? "").replace(/\/.*$/, ""), user: c.registryUser ?? "", secret: name };
}

/** How whoever runs `pulumi up` logs in to the registry that images are pushed to; `undefined` where that needs no password. */
export function pushLogin(cluster: Cluster): Pick<PullLogin, "user" | "secret"> | undefined {
  return ownRegistry(cluster) === undefined
    ? pullLogin(cluster)
    : { user: PUSH_USER, secret: SECRET_NAMES.registryPush };
}

/** Whether a machine with this service pulls images: for itself, for its tasks, or to take Mesos out of one. */
export function pullsImages(c: Config, service: Pick<Service, "runtime" | "startsContainers" | "software">): boolean {
  if (service.runtime === "docker" || service.startsContainers !== undefined) return true;
  return service.software?.mesos === true && (c.mesosSource ?? "").startsWith("docker://");
}
