/** Rules of teams: their names, members, and shares of the agents. */

import type { Config } from "../config/schema.ts";
import { agentGroupNames, teamOf, totalOf } from "./agent-groups.ts";
import { startedByMesos } from "./architectures/facts.ts";
import { architectureOf } from "./architectures/index.ts";
import type { Refuse } from "./architectures/record.ts";
import { agentRange, hasHub } from "./features.ts";
import { agentSize, executorCores, executorMiB } from "./memory.ts";
import { withAgents } from "./scaling.ts";
import { RESERVED_PRINCIPALS } from "./services/mesos/principals.ts";
import { teamNames, userNames } from "./teams.ts";

/** Teams have names of their own, room for an executor each, and no more together than the agents have. */
export function teamRules(c: Config, refuse: Refuse): void {
  const names = teamNames(c);
  const facts = architectureOf(c);
  if (names.length > 0 && !startedByMesos(facts)) {
    const rule = `empty in architecture ${c.architecture}: Spark's own master gives executors to jobs there, and it knows no teams`;
    refuse("teams", rule, "remove it, or use an architecture in which Mesos starts executors", names.join(", "));
    return;
  }
  members(c, refuse);
  const taken = [...new Set([...RESERVED_PRINCIPALS, c.mesosRole, ...c.mesosFrameworks])];
  for (const name of names.filter((name) => taken.includes(name))) {
    refuse("teams", `named other than ${taken.join(", ")}, which have that role or login`, "choose another name", name);
  }
  if (c.defaultTeam !== undefined && !names.includes(c.defaultTeam)) {
    refuse("defaultTeam", `one of teams (${names.join(", ") || "there are none"})`, "name one of them, or remove it");
  }
  for (const group of agentGroupNames(c)) {
    const team = teamOf(c, group);
    if (team === undefined || names.includes(team)) continue;
    if (!startedByMesos(facts)) {
      const rule = `without a team in architecture ${c.architecture}: Spark's own master gives executors to jobs there, and it knows no teams`;
      refuse("agentGroups", rule, "remove team", `${group}: ${team}`);
      continue;
    }
    const rule = `with a team that is one of teams (${names.join(", ") || "there are none"})`;
    refuse("agentGroups", rule, "name one of them, or remove team", `${group}: ${team}`);
  }
  const range = agentRange(c);
  /** What the agents have that are kept for a team, or for none, while there are fewest of them. */
  const roomFor = (team: string | undefined, resource: "cores" | "memoryMiB"): number | undefined =>
    totalOf(
      range === undefined ? c : withAgents(c, range.min),
      (config) => agentSize(config, facts)[resource],
      (of) => of === team,
    );
  const rows = [
    ["cpus", "cpusMax", executorCores(c, facts) ?? 1, "cores"],
    ["memoryMiB", "memoryMaxMiB", executorMiB(c), "memoryMiB"],
  ] as const;
  for (const [least, most, executor, resource] of rows) {
    for (const name of names) {
      const team = c.teams[name];
      if (!team) continue;
      const shown = `${name}: ${least} ${team[least]}`;
      if (team[least] < executor) {
        refuse("teams", `with ${least} of at least ${executor}, what one executor takes`, `raise ${least}`, shown);
      }
      const bound = team[most];
      if (bound !== undefined && bound < team[least]) {
        refuse("teams", `with ${most} (${bound}) no less than ${least}`, `raise ${most}, or remove it`, shown);
      }
      const own = roomFor(name, resource);
      if (bound !== undefined && own !== undefined && bound < own) {
        const rule = `with ${most} (${bound}) no less than the agents have that are kept for it, ${own}`;
        refuse("teams", rule, `raise ${most}, or remove it`, shown);
      }
    }
    // What a team has for itself is no part of what all share.
    const sum = names.reduce(
      (total, name) => total + Math.max(0, (c.teams[name]?.[least] ?? 0) - (roomFor(name, resource) ?? 0)),
      0,
    );
    const room = roomFor(undefined, resource);
    const of = agentGroupNames(c).some((group) => teamOf(c, group) !== undefined) ? "agents of no team" : "agents";
    const whose = range === undefined ? of : `fewest ${of} (agentsMin)`;
    if (room !== undefined && sum > room) {
      const rule = `with no more ${least} together than the ${whose} have, ${room}`;
      refuse("teams", rule, "lower them, or add agents", sum);
    } else if (room !== undefined && c.defaultTeam === undefined && names.length > 0 && room - sum < executor) {
      const rule = `with room for an executor of jobs without a team: ${room - sum} ${least} of ${room} are left, and it takes ${executor}`;
      refuse("teams", rule, "lower them, add agents, or set defaultTeam", sum);
    }
  }
}

/** Each member of a team is a user of the hub, and of one team. */
function members(c: Config, refuse: Refuse): void {
  const team = new Map<string, string>();
  for (const name of teamNames(c)) {
    const users = c.teams[name]?.users ?? [];
    if (users.length > 0 && !hasHub(c)) {
      const fix =
        "set notebooks to hub and name them in users too, or remove them: a notebook joins a team by TRIPLEWIDE_TEAM";
      refuse(
        "teams",
        "without users while notebooks is single, which has one user",
        fix,
        `${name}: ${users.join(", ")}`,
      );
      continue;
    }
    for (const user of users) {
      const shown = `${name}: ${user}`;
      const other = team.get(user);
      if (!Object.hasOwn(c.users, user)) {
        refuse(
          "teams",
          `with people of the key users (${userNames(c).join(", ")})`,
          "add them to users, or remove them",
          shown,
        );
      } else if (other !== undefined) {
        const rule =
          other === name ? "with each of its users once" : `with each user in one team: ${user} is in ${other} too`;
        refuse("teams", rule, "name them once", shown);
      }
      team.set(user, name);
    }
  }
}
