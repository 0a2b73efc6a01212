import type { Config } from "../config/schema.ts";
import { addressPlan } from "./addresses.ts";
import { flavorKey, GROUP_NAMES, GROUPS, keepsState, machineName } from "./groups.ts";
import { platformOf } from "./platforms.ts";
import type { Machine } from "./types.ts";

/** Decides the machines: how many of each group, what they are, where they lie. */
export function placeMachines(c: Config): Machine[] {
  const address = addressPlan(c.networkCidr);
  const { servers } = platformOf(c);
  const zones = c.availabilityZones;
  return GROUP_NAMES.flatMap((group) => {
    const { volumeKey, scratchKey, numbers, roles: rolesOf } = GROUPS[group];
    const flavor = servers ? c[flavorKey(c, group)] : undefined;
    return numbers(c).map((number): Machine => {
      const roles = rolesOf(c, number);
      const volume = servers && c.dataVolumes && volumeKey !== undefined && keepsState(roles);
      return {
        name: machineName(group, number),
        group,
        number,
        roles,
        address: address(group, number),
        flavor,
        volumeGb: volume ? c[volumeKey] : undefined,
        scratchGb: servers && scratchKey !== undefined ? c[scratchKey] : undefined,
        availabilityZone: zones[(number - 1) % zones.length],
        volumeZone: c.volumeZones[(number - 1) % c.volumeZones.length],
      };
    });
  });
}
