/** Rules of the hub: its users, their memory and addresses, and their logins at an OpenID provider. */

import type { Config, ConfigKey } from "../../../config/schema.ts";
import { HIDDEN } from "../../../config/secrets.ts";
import { architectureOf } from "../../architectures/index.ts";
import type { Refuse } from "../../architectures/record.ts";
import { hasHdfs, hasHub, runsHdfs } from "../../features.ts";
import { FIRST_AGENT_OFFSET, lastAgent } from "../../groups.ts";
import { platformOf } from "../../platforms.ts";
import { mostAgents, withAgents } from "../../scaling.ts";
import { hasSharedStorage, usesShare } from "../../shared-storage.ts";
import { userNames } from "../../teams.ts";
import { mostUsers, userAddresses } from "./addresses.ts";
import { logins } from "./hub.ts";

/** MiB of a user's container beside a driver's heap: Jupyter, Java itself, a kernel. */
const NOTEBOOK_MIB = 512;

/** A hub has users, room for their drivers, and so far one kind of cluster. */
export function hubRules(c: Config, refuse: Refuse): void {
  const names = userNames(c);
  openId(c, refuse);
  if (!hasHub(c)) {
    if (names.length > 0) refuse("users", "empty while notebooks is single", "set notebooks to hub, or remove users");
    return;
  }
  if (names.length === 0) refuse("users", "set while notebooks is hub", "name the users, such as {alice: {}, bob: {}}");
  const { servers } = platformOf(c);
  if (hasHdfs(c) && !runsHdfs(c)) {
    const rule = "single with an HDFS that was there before, in which nobody makes the users' homes";
    refuse("notebooks", rule, "remove existingNamenodes, or set datanodeCount for an HDFS of the cluster's own", "hub");
  }
  if (usesShare(c)) {
    const rule = "nfs or none while notebooks is hub: users' folders are the client's to give away";
    refuse("sharedStorage", rule, "remove it, or set notebooks to single");
  }
  if (servers && hasSharedStorage(c) && architectureOf(c).executorsRun === "on-machine") {
    const rule = `none while notebooks is hub in ${c.architecture} on ${c.platform}: executors have no container to mount users' folders in`;
    refuse("sharedStorage", rule, "set it to none, or use another architecture");
  }
  if (!servers && !hasSharedStorage(c)) {
    const rule = "nfs while notebooks is hub: executors have users' folders too";
    refuse("sharedStorage", rule, "remove it, or set notebooks to single");
  }
  const most = mostUsers(c.networkCidr, servers);
  const last = FIRST_AGENT_OFFSET + lastAgent(withAgents(c, mostAgents(c)));
  if (names.length > most || last > userAddresses(c.networkCidr).first) {
    const rule = `large enough for ${names.length} users (it has ${most} addresses for them) beside ${mostAgents(c)} agents`;
    refuse("networkCidr", rule, "use a larger network, such as a /16");
  }
  if (c.notebookMemoryMiB < c.driverMemoryMiB + NOTEBOOK_MIB) {
    const least = c.driverMemoryMiB + NOTEBOOK_MIB;
    refuse("notebookMemoryMiB", `at least ${least}: driverMemoryMiB and ${NOTEBOOK_MIB} beside it`, "raise it");
  }
}

/** Keys that come together. */
const OPENID = ["oidcIssuer", "oidcClientId", "oidcClientSecret"] as const;

/** An OpenID provider has users, each another to it, and a client for them. */
function openId(c: Config, refuse: Refuse): void {
  const shown = (key: ConfigKey): unknown => (key === "oidcClientSecret" ? HIDDEN : c[key]);
  if (OPENID.every((key) => c[key] === undefined)) {
    for (const [name, { login }] of Object.entries(c.users)) {
      const rule = `without login (${name} has one) while oidcIssuer is empty`;
      if (login !== undefined) refuse("users", rule, "set oidcIssuer too, or remove login");
    }
    return;
  }
  for (const key of OPENID) {
    if (!hasHub(c) && c[key] !== undefined) {
      refuse(key, "empty while notebooks is single", "set notebooks to hub, or remove it", shown(key));
    } else if (c[key] === undefined) {
      refuse(key, "set together with the other oidc keys", "give all three of them, or none", undefined);
    }
  }
  const taken = new Map<string, string>();
  for (const [login, name] of logins(c)) {
    const other = taken.get(login);
    const rule = `each somebody else to the provider (${other} and ${name} are both ${login})`;
    if (other !== undefined) refuse("users", rule, "give them different logins");
    taken.set(login, name);
  }
}
