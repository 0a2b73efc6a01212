import { LOOPBACK } from "../../../lib/loopback.ts";
import type { WiredContext } from "../../context.ts";
import type { Cluster, Page, Service } from "../../types.ts";

/** The pages that the gateway shows, read off the ports of all services. */

/** A page, and where it is. */
export interface ShownPage extends Page {
  /** Name of the service whose page it is. */
  service: string;
  /** `host:port` of each machine that has it. */
  at: string[];
  /** Whether it is there by HTTPS, by a certificate of the cluster's own authority. */
  https?: true;
}

/** Every page of these services, each once, with all machines that have it. */
export function shownPages({ machines }: Pick<WiredContext, "machines">, services: readonly Service[]): ShownPage[] {
  const addresses = new Map(machines.map(({ name, address }) => [name, address]));
  const pages = new Map<string, ShownPage>();
  for (const { name, machine, ports } of services) {
    for (const { page, port, https } of ports) {
      if (page === undefined) continue;
      const shown = pages.get(page.path) ?? { ...page, service: name, at: [], ...(https ? { https } : {}) };
      pages.set(page.path, {
        ...shown,
        at: [...shown.at, `${page.loopback ? LOOPBACK : addresses.get(machine)}:${port}`],
      });
    }
  }
  // The page that people work in comes first.
  return [...pages.values()].sort((a, b) => Number(b.keepsPath ?? false) - Number(a.keepsPath ?? false));
}

/** What people call the pages of a cluster, in their order on the landing page. */
export const pageTitles = ({ services, machines }: Pick<Cluster, "services" | "machines">): string[] =>
  shownPages({ machines }, services).map(({ title }) => title);
