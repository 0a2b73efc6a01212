import type { Config } from "../config/schema.ts";
import type { Cloud } from "./cloud.ts";
import { unlessRefused } from "./errors.ts";
import { type Findings, instead } from "./findings.ts";

/** Availability zones: those that a service shows, and those of machines that the config names. */

interface Zone {
  zoneName: string;
  zoneState: { available: boolean };
}

/** Zones of a service; `undefined` where it does not show them, as some clouds' policies have it. */
export async function zonesOf(cloud: Cloud, service: "compute" | "volume"): Promise<Zone[] | undefined> {
  const asked = cloud.get<{ availabilityZoneInfo?: Zone[] }>(service, "/os-availability-zone");
  return (await unlessRefused(asked, undefined))?.availabilityZoneInfo;
}

/** Whether the zones that machines are to be in are there. */
export async function checkZones(cloud: Cloud, c: Config, findings: Findings): Promise<void> {
  if (c.availabilityZones.length === 0) return;
  const availabilityZoneInfo = await zonesOf(cloud, "compute");
  if (availabilityZoneInfo === undefined) {
    findings.warn("availabilityZones: Nova does not show its zones; they were not checked");
    return;
  }
  const names = availabilityZoneInfo.filter((z) => z.zoneState.available).map((z) => z.zoneName);
  for (const zone of c.availabilityZones) {
    if (names.includes(zone)) continue;
    const known = availabilityZoneInfo.some((z) => z.zoneName === zone);
    const wrong = known ? "this zone is not available now" : "there is no such zone";
    findings.refuse("availabilityZones", zone, wrong, instead(zone, names));
  }
}
