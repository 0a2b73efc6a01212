import { SPARK_VERSION } from "../../../config/versions.ts";
import type { WiredContext } from "../../context.ts";
import { costInWords } from "../../costs.ts";
import { agentRange } from "../../features.ts";
import { peers } from "../../firewall.ts";
import { GROUP_NAMES } from "../../groups.ts";
import { containerUrl } from "../../object-store.ts";
import type { Group, Json, Service } from "../../types.ts";
import type { ShownPage } from "./pages.ts";

/**
 * What `images/gateway/site/landing.js` draws. It counts no agents: one more of them must not replace the client, and how many there
 * are is read from the pages themselves.
 */
export function landingPage(ctx: WiredContext, pages: readonly ShownPage[], services: readonly Service[]): Json {
  const { config: c, machines, spark } = ctx;
  const container = containerUrl(c);
  const groupOf = new Map(machines.map(({ name, group }) => [name, group]));
  const groups = GROUP_NAMES.filter((group) => machines.some((machine) => machine.group === group));
  const servicesOf = (group: Group): Json[] => {
    const shown = new Map(
      services.filter(({ machine }) => groupOf.get(machine) === group).map((one) => [one.name, one]),
    );
    return [...shown.values()].map((service) => {
      const job = measuredAs(service);
      return { name: service.name, ...(job === undefined ? {} : { job }) };
    });
  };
  const connects = new Map<Group, Set<Group>>();
  for (const { machine, ports } of services) {
    const to = groupOf.get(machine);
    if (to === undefined) continue;
    const peersOf = connects.get(to) ?? new Set();
    for (const port of ports) for (const peer of peers(c, port, to, groups)) if (peer !== to) peersOf.add(peer);
    connects.set(to, peersOf);
  }
  const cost = costInWords(c, machines);
  return {
    name: c.clusterName,
    architecture: c.architecture,
    spark: SPARK_VERSION,
    master: spark.master,
    pages: pages.map(({ title, kind, path, service, ownOrigin }) => ({
      title,
      kind,
      path,
      service,
      ...(ownOrigin === undefined ? {} : { status: ownOrigin.status }),
    })),
    groups: groups.map((group) => ({
      name: group,
      services: servicesOf(group),
      from: [...(connects.get(group) ?? [])],
    })),
    connect: [
      ...(container === undefined ? [] : [[`${container}/`, "the cluster's object store"]]),
      ...ctx.platform.connect(c),
    ],
    ...(cost === "" ? {} : { cost }),
    ...(c.ttlHours === undefined ? {} : { mayEnd: true }),
    ...(agentRange(c) === undefined ? {} : { agentsComeAndGo: true }),
  };
}

/**
 * The name by which Prometheus knows whether a service answers; `undefined` where nothing of it is measured. A service may have ports of
 * others as well: those are measured by their own names.
 */
function measuredAs({ name, ports }: Service): string | undefined {
  const jobs = ports.flatMap(({ metrics = [] }) =>
    metrics.filter(({ optional }) => !optional).map(({ job = name }) => job),
  );
  return jobs.includes(name) ? name : jobs[0];
}
