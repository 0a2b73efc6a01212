import type { Cluster } from "../cluster/types.ts";
import type { Config } from "../config/schema.ts";
import type { Cloud } from "./cloud.ts";
import { type Findings, instead } from "./findings.ts";
import { diskNeeded, type Image } from "./guest-images.ts";
import { zonesOf } from "./zones.ts";

/** Volumes: whether the cloud has any, and those that the config asks for. */

const NO_CINDER = "this cloud has no volume service (Cinder)";

/** Refuses volumes to boot from on a cloud that has none. */
export function refuseBootVolume(bootVolumeGb: number, findings: Findings): void {
  findings.refuse("bootVolumeGb", bootVolumeGb, NO_CINDER, "remove it, and use flavors with a disk");
}

/** Whether a volume that machines boot from is large enough for the image. */
export function checkBootVolume(bootVolumeGb: number, image: Image, findings: Findings): void {
  const disk = diskNeeded(image);
  if (bootVolumeGb >= disk) return;
  findings.refuse("bootVolumeGb", bootVolumeGb, `image ${image.name} needs ${disk} GB`, `use ${disk} or more`);
}

/** Whether the cloud has the volumes, their type and their zones that the config asks for. */
export async function checkVolumes(cloud: Cloud, cluster: Cluster, findings: Findings): Promise<void> {
  const c = cluster.config;
  if (cluster.quota.volumes === 0) return;
  if (!(await cloud.has("volume"))) {
    if (cluster.machines.some((m) => m.volumeGb !== undefined)) {
      const without = "state then lies on the machines' own disks and goes when a machine is replaced";
      findings.refuse("dataVolumes", true, NO_CINDER, `set dataVolumes to false; ${without}`);
    }
    if (c.bootVolumeGb !== undefined) refuseBootVolume(c.bootVolumeGb, findings);
    if (c.scratchGb !== undefined) {
      findings.refuse("scratchGb", c.scratchGb, NO_CINDER, "remove it, and name an agentFlavor with a larger disk");
    }
    return;
  }
  if (cluster.machines.some((m) => m.volumeGb !== undefined)) await checkVolumeZones(cloud, c, findings);
  await checkVolumeType(cloud, c, findings);
}

/** Whether there is the type of volumes that the config names. */
export async function checkVolumeType(cloud: Cloud, c: Config, findings: Findings): Promise<void> {
  if (c.volumeType === undefined) return;
  const types = await cloud.list<{ id: string; name: string }>("volume", "/types", "volume_types");
  if (types.some((t) => t.name === c.volumeType || t.id === c.volumeType)) return;
  const names = types.map((t) => t.name).sort();
  findings.refuse("volumeType", c.volumeType, "there is no such volume type", instead(c.volumeType, names));
}

/** Whether the zones of data volumes exist. No cloud tells which of them servers of a zone can use. */
async function checkVolumeZones(cloud: Cloud, c: Config, findings: Findings): Promise<void> {
  if (c.availabilityZones.length === 0 && c.volumeZones.length === 0) return;
  const zones = await zonesOf(cloud, "volume");
  if (!zones) {
    if (c.volumeZones.length > 0) findings.warn("volumeZones: Cinder does not show its zones; they were not checked");
    return;
  }
  const names = zones.filter((z) => z.zoneState.available).map((z) => z.zoneName);
  for (const zone of c.volumeZones.filter((z) => !names.includes(z)))
    findings.refuse("volumeZones", zone, "Cinder has no such zone now", instead(zone, names));
  if (c.volumeZones.length === 0 && names.length > 1)
    findings.warn(
      `volumeZones: Cinder has the zones ${names.join(", ")}, and data volumes go to its default one; where machines can have volumes of their own zone only, name one for each of availabilityZones`,
    );
}
