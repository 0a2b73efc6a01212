import type { Config } from "../config/schema.ts";
import { addressAt, addressPlan } from "./addresses.ts";
import { flavorKey, GROUP_NAMES, GROUPS, keepsState, machineName } from "./groups.ts";
import { platformOf } from "./platforms.ts";
import type { Machine } from "./types.ts";

/** Decides the machines: how many of each group, what they are, where they lie. */
export function placeMachines(c: Config): Machine[] {
  const address = addressPlan(c.networkCidr);
  const { servers } = platformOf(c);
  const zones = c.availabilityZones;
  return GROUP_NAMES.flatMap((group) => {
    const { volumeKey, scratchKey, numbers, subgroups, roles: rolesOf } = GROUPS[group];
    const place = (config: Config, number: number, own: Pick<Machine, "name" | "address" | "subgroup">): Machine => {
      const roles = rolesOf(c, number);
      const volume = servers && c.dataVolumes && volumeKey !== undefined && keepsState(roles);
      return {
        ...own,
        group,
        number,
        roles,
        flavor: servers ? config[flavorKey(config, group)] : undefined,
        volumeGb: volume ? c[volumeKey] : undefined,
        scratchGb: servers && scratchKey !== undefined ? c[scratchKey] : undefined,
        availabilityZone: zones[(number - 1) % zones.length],
        volumeZone: c.volumeZones[(number - 1) % c.volumeZones.length],
      };
    };
    return [
      ...numbers(c).map((n) => place(c, n, { name: machineName(group, n), address: address(group, n) })),
      ...(subgroups?.(c) ?? []).flatMap(({ name: subgroup, config, numbers, offset }) =>
        numbers.map((n) =>
          place(config, n, {
            name: machineName(group, n, subgroup),
            subgroup,
            address: addressAt(c.networkCidr, offset + n - 1),
          }),
        ),
      ),
    ];
  });
}
