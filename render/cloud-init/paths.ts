import { SHUFFLE_DIR } from "../../cluster/services/spark/spark.ts";
import type { Directory, Machine } from "../../cluster/types.ts";
import type { RenderedContent, RenderedService } from "../content.ts";

/** Paths on a machine. */

export const CONF = "/etc/triplewide";
const STATE = "/var/lib/triplewide";
/** Where the data volume is mounted. */
const DATA_MOUNT = `${STATE}/data`;

/** Name of a service's systemd unit, without its suffix. */
export const unitName = (service: string): string => `triplewide-${service}`;

/**
 * Where a service's file lies on the machine. Services in containers have folders of their own, because two of them may
 * both want an `/etc/spark`; a file that two of them have alike lies in the folder of the first.
 *
 * @param here The services of the machine.
 */
export function hostFile(service: RenderedService, file: RenderedContent, here: readonly RenderedService[]): string {
  if (service.runtime !== "docker") return file.path;
  const first = here.find((s) => s.runtime === "docker" && s.uid === service.uid && s.files.some((f) => same(f, file)));
  return `${CONF}/${(first ?? service).name}${file.path}`;
}

function same(a: RenderedContent, b: RenderedContent): boolean {
  return a.path === b.path && a.content === b.content && a.mode === b.mode;
}

/** Where a service's directory lies on the machine. */
export function hostDir(machine: Machine, service: Pick<RenderedService, "name" | "runtime">, dir: Directory): string {
  if (dir.shared === "machine") return dir.path;
  if (fromElsewhere(machine, dir)) return dir.at ?? dir.path;
  const owner = dir.keeper?.service ?? service.name;
  if (onVolume(machine, dir)) return `${DATA_MOUNT}/${owner}${dir.path}`;
  // A process of the machine needs no other place for what ends with the machine.
  return service.runtime === "docker" || dir.keeper ? `${STATE}/${owner}${dir.path}` : dir.path;
}

/** A volume of a machine: how large, what its file system is called, and where it is mounted. */
export interface MachineVolume {
  gigabytes: number;
  label: string;
  mount: string;
}

/** The volume that a machine has; `undefined` where it has none. */
export function volumeOf(machine: Machine): MachineVolume | undefined {
  const { volumeGb, scratchGb } = machine;
  if (volumeGb !== undefined) return { gigabytes: volumeGb, label: "triplewide-data", mount: DATA_MOUNT };
  if (scratchGb === undefined) return undefined;
  return { gigabytes: scratchGb, label: "triplewide-temp", mount: SHUFFLE_DIR.path };
}

/** Where the volume is mounted on which a directory lies; `undefined` where it lies on the machine's own disk. */
export function volumeBelow(machine: Machine, dir: Directory): string | undefined {
  const volume = volumeOf(machine);
  return onVolume(machine, dir) || volume?.mount === dir.path ? volume?.mount : undefined;
}

/** Whether a directory lies on the machine's data volume. */
function onVolume(machine: Machine, dir: Directory): boolean {
  return dir.lasts === "data" && machine.volumeGb !== undefined && !fromElsewhere(machine, dir);
}

/** Whether another machine keeps a folder that the cluster shares: this one mounts it, at its own path. */
export const fromElsewhere = (machine: Machine, dir: Directory): boolean =>
  dir.shared === "cluster" && dir.keeper?.machine !== machine.name;

/** Path of the file with a service's environment. */
export const envFile = (service: Pick<RenderedService, "name">): string => `${CONF}/${service.name}.env`;

/** Where a file of one of the machine's services lies on the machine, by the path that the service knows. */
export function hostPath(here: readonly RenderedService[]): (path: string) => string {
  return (path) => {
    for (const service of here) {
      const file = service.files.find((f) => f.path === path);
      if (file) return hostFile(service, file, here);
    }
    throw new Error(`no service of the machine has a file ${path}`);
  };
}
