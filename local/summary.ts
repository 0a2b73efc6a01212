import { hasHub } from "../cluster/features.ts";
import { publishedAddress } from "../cluster/publishing.ts";
import { SECRET_NAMES } from "../cluster/secret-names.ts";
import { jupyterBase } from "../cluster/services/client/client.ts";
import { gatewayOrigin } from "../cluster/services/gateway/entrance.ts";
import { pageTitles } from "../cluster/services/gateway/pages.ts";
import { authorityOf } from "../cluster/services/gateway/tls.ts";
import type { Cluster } from "../cluster/types.ts";
import type { Config } from "../config/schema.ts";
import { say } from "../lib/terminal.ts";
import type { Link } from "../render/compose.ts";
import { type Opened, summary, type Typed } from "../render/summary.ts";
import { type Project, readSecret } from "./project.ts";

/** The gateway's link that logs in by itself: what follows `#` stays in the browser. @param to A page to open then. */
function gatewayLink(c: Config, project: Project, to?: string): string {
  const query = to === undefined ? "" : `?to=${to}`;
  return `${gatewayOrigin(c, "")}/login${query}#${readSecret(project, SECRET_NAMES.gatewayPassword)}`;
}

/** JupyterLab's address, which logs in by itself. */
export function notebookLink(c: Config, project: Project): string {
  const path = `${jupyterBase(c)}lab`;
  if (c.gateway) return gatewayLink(c, project, path);
  return `http://${publishedAddress(c)}:${c.jupyterPort}${path}?token=${readSecret(project, SECRET_NAMES.jupyterToken)}`;
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
