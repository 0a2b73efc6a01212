import type { Config } from "../config/schema.ts";

/** Teams that share a Mesos: each is a role with a quota and a weight, and a principal of the same name that may register in it alone. */

type Teams = Pick<Config, "teams">;

/** Names of the hub's users, in the same order whatever the config's is. */
export const userNames = (c: Pick<Config, "users">): string[] => Object.keys(c.users).sort();

/** Names of the teams, in the same order whatever the config's is. */
export const teamNames = (c: Teams): string[] => Object.keys(c.teams).sort();

export const hasTeams = (c: Teams): boolean => teamNames(c).length > 0;

/** Role that the jobs of a user of the hub are in: their team's, or that of drivers that name none. */
export const roleOf = (c: Teams & Pick<Config, "defaultTeam" | "mesosRole">, user: string): string =>
  teamNames(c).find((name) => c.teams[name]?.users?.includes(user)) ?? c.defaultTeam ?? c.mesosRole;

/** Folder of the client with the secret of each principal that drivers register as. */
export const TEAM_LOGINS = "/etc/mesos/teams";

/** File of the client that chooses the team of a driver. */
export const CHOOSE_TEAM = "/etc/spark/team.sh";

/** What Mesos is to keep for a role, and the most that it may have; resources by Mesos' own names. */
export interface Quota {
  role: string;
  guarantees: Readonly<Record<string, number>>;
  limits: Readonly<Record<string, number>>;
}

/** The quota of each team. */
export const teamQuotas = (c: Teams): Quota[] =>
  teamNames(c).map((role) => {
    const { cpus, memoryMiB, cpusMax, memoryMaxMiB } = c.teams[role] as Config["teams"][string];
    return {
      role,
      guarantees: { cpus, mem: memoryMiB },
      limits: {
        ...(cpusMax !== undefined ? { cpus: cpusMax } : {}),
        ...(memoryMaxMiB !== undefined ? { mem: memoryMaxMiB } : {}),
      },
    };
  });

/** Program that prints what a driver is told when it starts: its team's login, where there are teams, and its part of the cores. */
export const driverOptions = (
  c: Teams & Pick<Config, "mesosRole">,
  share: string[] | undefined,
): string[] | undefined => (hasTeams(c) ? ["bash", CHOOSE_TEAM, c.mesosRole, ...(share ?? [])] : share);
