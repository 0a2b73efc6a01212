import type { File, Machine, Service } from "../../cluster/types.ts";

/** Where things lie on a machine. */

export const CONF = "/etc/triplewide";
const STATE = "/var/lib/triplewide";
/** Where the data volume is mounted. */
export const DATA_MOUNT = `${STATE}/data`;

/** Everything of ours that systemd knows has this in front. */
export const unitName = (service: string): string => `triplewide-${service}`;

/**
 * Where a service's file lies on the machine. Services in containers have folders of their own, because two of them may
 * both want an `/etc/spark`; but what two of them have alike lies with the first.
 *
 * @param here The services of the machine.
 */
export function hostFile(service: Service, file: File, here: readonly Service[]): string {
  if (service.runtime !== "docker") return file.path;
  const first = here.find((s) => s.runtime === "docker" && s.uid === service.uid && s.files.some((f) => same(f, file)));
  return `${CONF}/${(first ?? service).name}${file.path}`;
}

function same(a: File, b: File): boolean {
  return a.path === b.path && a.content === b.content && a.mode === b.mode;
}

/** Where a service's directory lies on the machine. */
export function hostDir(machine: Machine, service: Service, dir: Service["dirs"][number]): string {
  if (dir.shared) return dir.path;
  if (onVolume(machine, dir)) return `${DATA_MOUNT}/${service.name}${dir.path}`;
  // A process of the machine needs no other place for what ends with the machine.
  return service.runtime === "docker" ? `${STATE}/${service.name}${dir.path}` : dir.path;
}

export function onVolume(machine: Machine, dir: Service["dirs"][number]): boolean {
  return dir.keep && machine.volumeGb > 0;
}

export const envFile = (service: Service): string => `${CONF}/${service.name}.env`;

/** A probe as it runs on the machine: files of services in containers lie elsewhere there. */
export function onHost(command: readonly string[], services: readonly Service[]): string[] {
  const moved = services.flatMap((s) => s.files.map((f) => [f.path, hostFile(s, f, services)] as const));
  return command.map((word) => moved.reduce((text, [from, to]) => movePath(text, from, to), word));
}

/** Puts another path in place of a whole one: never in place of a part of a longer path. */
function movePath(text: string, from: string, to: string): string {
  const path = from.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return text.replace(new RegExp(`(?<![\\w./-])${path}(?![\\w./-])`, "g"), () => to);
}
