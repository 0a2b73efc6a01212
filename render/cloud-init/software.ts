import { pullsImages } from "../../cluster/services/registry/registry.ts";
import type { Cluster, Machine } from "../../cluster/types.ts";
import { placeholder } from "../../cluster/values.ts";
import type { Checkout } from "../../lib/checkout.ts";
import { type RenderedService, renderService } from "../content.ts";
import { fromElsewhere } from "./paths.ts";
import type { ImageOf } from "./units.ts";

/** What is installed on a machine before its services start. */
export interface Software {
  docker: boolean;
  /** Images that tasks run in. */
  images: string[];
  /** Where Mesos comes from; `undefined` where no process of the machine needs it. */
  mesosSource: string | undefined;
  /** The agent's program, or the image that holds it; `undefined` where there is no agent. */
  mesosAgent: string | undefined;
  /** Version of Python for which the image's packages are needed on the machine itself; `undefined` where they are not. */
  python: string | undefined;
  /** Needed before anything can be fetched. */
  firstPackages: string[];
  packages: string[];
  maskedUnits: string[];
}

/** Units that a .deb of Mesos would start by themselves. */
const DEB_UNITS = ["mesos-master.service", "mesos-slave.service", "mesos-agent.service", "zookeeper.service"];

/** Units that the package for NFS would start: version 4 needs none of them. */
const RPC_UNITS = ["rpcbind.service", "rpcbind.socket"];

/** What a machine needs for its services. */
export function softwareOf(
  cluster: Cluster,
  machine: Machine,
  services: readonly RenderedService[],
  parts: Pick<Checkout, "versions">,
  imageOf: ImageOf,
): Software {
  const c = cluster.config;
  const agent = services.find((s) => s.agentProgram !== undefined);
  const onMachine = services.filter((s) => s.runtime === "systemd");
  const mesosSource = onMachine.some((s) => s.software?.mesos) ? c.mesosSource : undefined;
  const docker = services.some((s) => pullsImages(c, s));
  const shared = mountsShared(machine, services);
  const python = onMachine.some((s) => s.software?.python) ? parts.versions.PYTHON_VERSION : undefined;
  return {
    docker,
    // Every executor starts in one, so it should not be the first job that waits for it.
    images: [...new Set(services.flatMap((s) => s.startsContainers ?? []))].map(imageOf),
    mesosSource,
    mesosAgent: agent?.runtime === "docker" && agent.image !== undefined ? imageOf(agent.image) : agent?.agentProgram,
    python,
    firstPackages: [
      ...(docker ? ["docker.io", "apparmor"] : []),
      ...(mesosSource !== undefined ? ["ca-certificates", "curl"] : []),
      ...(shared ? ["nfs-common"] : []),
    ],
    packages: [
      ...services.flatMap((s) => s.software?.packages ?? []),
      ...(python ? [`openjdk-${parts.versions.JAVA_VERSION}-jre-headless`, `python${python}-venv`] : []),
    ],
    maskedUnits: [
      ...services.flatMap((s) => s.software?.maskedUnits ?? []),
      ...(shared ? RPC_UNITS : []),
      ...(/^deb\+|\.deb(#|$)/.test(mesosSource ?? "") ? DEB_UNITS : []),
    ],
  };
}

/** Debian packages that the cluster's machines install, sorted. */
export function machinePackages(cluster: Cluster, parts: Pick<Checkout, "versions">): string[] {
  const all = cluster.machines.flatMap((machine) => {
    const services = cluster.services
      .filter((s) => s.machine === machine.name)
      .map((s) => renderService(s, placeholder));
    const software = softwareOf(cluster, machine, services, parts, () => "");
    return [...software.firstPackages, ...software.packages];
  });
  return [...new Set(all)].sort();
}

/** Whether a machine mounts the folder that another one keeps for the cluster. */
export const mountsShared = (machine: Machine, services: readonly Pick<RenderedService, "dirs">[]): boolean =>
  services.some((s) => s.dirs.some((dir) => fromElsewhere(machine, dir)));
