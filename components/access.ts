import { hasHub, isBehindGateway } from "../cluster/features.ts";
import { GROUPS, isForPeople } from "../cluster/groups.ts";
import { hostKeyAlias } from "../cluster/host-keys.ts";
import { encryptedRemote, sparkRemote } from "../cluster/services/connect/connect.ts";
import { gatewayOrigin, isNamed, isPublic } from "../cluster/services/gateway/entrance.ts";
import { pageTitles } from "../cluster/services/gateway/pages.ts";
import { authorityOf } from "../cluster/services/gateway/tls.ts";
import { hubOrigin } from "../cluster/services/hub/entrance.ts";
import type { Cluster, Machine, Service } from "../cluster/types.ts";
import { type Opened, summary } from "../render/summary.ts";

/** How people reach a cluster: addresses of its web pages, and the `ssh` settings that lead there. */

/** A web page of the cluster. */
export interface Page {
  name: string;
  /** Where it answers, inside the cluster. */
  address: string;
  port: number;
  /** Whether it answers by HTTPS. */
  https?: true;
}

/** The pages that people open: the client's, and the first master's. Where another master leads, the first one's page names it. */
export function pages(cluster: Cluster): Page[] {
  const found = new Map<number, Page>();
  const shown = cluster.machines.filter(isForPeople);
  for (const machine of shown) {
    for (const service of cluster.services.filter((s) => s.machine === machine.name)) {
      for (const port of service.ports) {
        if (port.link !== "http" || isBehindGateway(cluster.config, port) || found.has(port.port)) continue;
        found.set(port.port, {
          name: pageName(service, port.name),
          address: machine.address,
          port: port.port,
          ...(port.https ? { https: true } : {}),
        });
      }
    }
  }
  return [...found.values()];
}

/** Where Spark Connect answers; `undefined` where there is none. */
export function connectServer(cluster: Cluster): Pick<Page, "address" | "port"> | undefined {
  for (const { machine, ports } of cluster.services) {
    const port = ports.find(({ link }) => link === "sc")?.port;
    const address = cluster.machines.find(({ name }) => name === machine)?.address;
    if (port !== undefined && address !== undefined) return { address, port };
  }
  return undefined;
}

/**
 * Address that clients of Spark Connect use: the gateway's where people reach that without a tunnel, else the near end of the tunnel.
 *
 * @param publicAddress The bastion's.
 */
export const remoteOf = (
  { config }: Cluster,
  { address, port }: Pick<Page, "address" | "port">,
  token: string,
  publicAddress: string,
): string =>
  isPublic(config) && isNamed(config)
    ? encryptedRemote(gatewayOrigin(config, address, publicAddress), token)
    : sparkRemote(port, token);

/**
 * Name of a page among the stack's outputs, such as `jupyter`, `spark-ui` or `spark-master`. A port called `ui`, `http` or `pages` says
 * nothing, so the service's name stands for it.
 */
function pageName(service: Service, port: string): string {
  return port === "ui" || port === "http" || port === "pages" ? service.name : port;
}

/**
 * Where a page opens in a browser on this machine: by the gateway's own address, through the forwards of `sshConfig`, or directly.
 *
 * @param publicAddress The bastion's.
 */
export function pageUrl(cluster: Cluster, page: Page, publicAddress: string): string {
  const { bastion, gateway, gatewayPort, hubPort } = cluster.config;
  if (hasHub(cluster.config) && page.port === hubPort) return hubOrigin(cluster.config, page.address, publicAddress);
  if (gateway && page.port === gatewayPort) return gatewayOrigin(cluster.config, page.address, publicAddress);
  return `${page.https ? "https" : "http"}://${bastion ? "localhost" : page.address}:${page.port}`;
}

/**
 * One screen that says how to use the cluster. It holds no secret.
 *
 * @param stack Name of the Pulumi stack.
 * @param publicAddress The bastion's.
 */
export function accessSummary(cluster: Cluster, stack: string, publicAddress: string): string {
  const { gateway, bastion } = cluster.config;
  const output = (name: string): string => `pulumi stack output ${name} --show-secrets --stack ${stack}`;
  const login = output(gateway ? "gatewayPassword" : "jupyterToken");
  const titles = pageTitles(cluster).join(", ");
  const found = pages(cluster);
  const opened: Opened[] = gateway
    ? found
        .filter(({ port }) => port === cluster.config.gatewayPort)
        .map((page) => ({ name: "Open", url: pageUrl(cluster, page, publicAddress), note: titles }))
    : found.map((page) => ({ name: page.name, url: pageUrl(cluster, page, publicAddress) }));
  return summary(cluster, opened, [
    ...(bastion
      ? ([
          [`pulumi stack output readme --stack ${stack}`, "how to connect, for the first time"],
          [`ssh -N -F ~/.ssh/${cluster.name}.config ${pagesHost(cluster)}`, "then pages open while this runs"],
        ] as const)
      : []),
    [login, "the password"],
    ...(hasHub(cluster.config)
      ? ([[`npx triplewide users --env ${stack}`, "the hub's address, and its users' first passwords"]] as const)
      : []),
    ...(authorityOf(cluster)
      ? ([[`pulumi stack output gatewayCertificate --stack ${stack}`, "whom a browser has to trust"]] as const)
      : []),
    [`pulumi destroy --stack ${stack}`, "stop and remove it"],
  ]);
}

/** Name in `sshConfig` by which pages are forwarded. */
const pagesHost = ({ name }: Pick<Cluster, "name">): string => `${name}-pages`;

/**
 * Settings for `ssh -F`: each machine by its name, the agents by their addresses, and `<cluster>-pages`. While a connection to the last one
 * is open, it forwards every page. It ends at the client, so SSH encrypts the whole way to the pages there. SSH connects only to machines
 * that show the host key that the stack gave them.
 */
export function sshConfig(cluster: Cluster, bastionAddress: string): string {
  const c = cluster.config;
  const bastion = `${cluster.name}-bastion`;
  const client = cluster.machines.find((m) => m.roles.includes("client"));
  const named = cluster.machines.filter((m) => GROUPS[m.group].lasting && !GROUPS[m.group].jumpHost);
  const host = (m: Machine): string => `Host ${cluster.name}-${m.name}\n  HostName ${m.address}\n`;
  const common = [
    `Host ${cluster.name}-* ${octets(c.networkCidr)}\n`,
    `  User ${c.sshUser}\n`,
    ...(c.keyPair === undefined ? [`  IdentityFile ~/.ssh/${cluster.name}\n`, "  IdentitiesOnly yes\n"] : []),
    "  StrictHostKeyChecking yes\n",
    `  UserKnownHostsFile ~/.ssh/${cluster.name}-known-hosts\n`,
    "  GlobalKnownHostsFile /dev/null\n",
  ].join("");
  if (!c.bastion) return [...named.map(host), common].join("\n");
  const connect = connectServer(cluster);
  const forwards = [...pages(cluster), ...(connect ? [connect] : [])].map(
    (p) => `  LocalForward ${p.port} ${p.address}:${p.port}\n`,
  );
  return [
    [
      `Host ${bastion}\n`,
      `  HostName ${bastionAddress}\n`,
      `  HostKeyAlias ${hostKeyAlias(cluster, { name: "bastion" })}\n`,
    ].join(""),
    ...named.map(host),
    ...(client ? [`Host ${pagesHost(cluster)}\n  HostName ${client.address}\n${forwards.join("")}`] : []),
    `Host ${cluster.name}-* ${octets(c.networkCidr)} !${bastion}\n  ProxyJump ${bastion}\n`,
    common,
  ].join("\n");
}

/** The octets that all addresses of a network share, as a pattern: `10.72.*`. */
function octets(cidr: string): string {
  const [address = "", bits = "32"] = cidr.split("/");
  const shared = address.split(".").slice(0, Math.floor(Number(bits) / 8));
  return [...shared, "*"].join(".");
}
