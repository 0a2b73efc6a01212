import { Address4 } from "ip-address";
import { infoOf } from "../config/fields.ts";
import type { Problem } from "../config/problems.ts";
import { type Config, type ConfigKey, shape } from "../config/schema.ts";
import { HIDDEN } from "../config/secrets.ts";
import type { Checkout } from "../lib/checkout.ts";
import { overlap } from "./addresses.ts";
import {
  agentConfigs,
  agentGroupNames,
  BLOCKS,
  blockOf,
  blocks,
  devicesOf,
  GROUP_ATTRIBUTE,
  teamOf,
  totalOf,
} from "./agent-groups.ts";
import { architectureOf, hasMesos } from "./architectures/index.ts";
import type { Refuse } from "./architectures/record.ts";
import { agentRange, hasHdfs, hasHub, hasRegistry, runsHdfs } from "./features.ts";
import { FIRST_AGENT_OFFSET, GROUPS, lastAgent, zookeeperMembers } from "./groups.ts";
import { agentFlavorSize, agentSize, daemonsMiB, executorCores, executorMiB, overheadMiB, roomOf } from "./memory.ts";
import { fewAddresses } from "./networks.ts";
import { makesContainer } from "./object-store.ts";
import { platformOf } from "./platforms.ts";
import { usedPorts } from "./ports.ts";
import { mostAgents, scalingRules, withAgents } from "./scaling.ts";
import { certificateOfToday, gatewayRules } from "./services/gateway/rules.ts";
import { mostUsers, userAddresses } from "./services/hub/addresses.ts";
import { logins } from "./services/hub/hub.ts";
import { OTHER_LOGINS, PRINCIPALS } from "./services/mesos/principals.ts";
import { hasSharedStorage, usesShare } from "./shared-storage.ts";
import { refusedProperty } from "./spark-properties.ts";
import { teamNames, userNames } from "./teams.ts";

/** What a cluster comes up with must hold that day; who looks at one, or removes it, does not ask. */
export function problemsOfToday(c: Config, { script }: Pick<Checkout, "script">): Problem[] {
  const problems: Problem[] = [];
  certificateOfToday(c, script, (key, rule, fix, value = c[key]) => void problems.push({ key, value, rule, fix }));
  return problems;
}

/** Rules that need more than one key. Each entry of the result names the key that is easiest to change. */
export function crossFieldProblems(c: Config, { script }: Pick<Checkout, "script">): Problem[] {
  const problems: Problem[] = [];
  const refuse = (key: ConfigKey, rule: string, fix: string, value: unknown = c[key]): void => {
    problems.push({ key, value, rule, fix });
  };

  openstackOnly(c, refuse);
  quorums(c, refuse);
  addresses(c, refuse);
  portOverlaps(c, script, refuse);
  gatewayRules(c, script, refuse);
  features(c, refuse);
  sparkProperties(c, refuse);
  agentRoom(c, refuse);
  scalingRules(c, refuse);
  architectureOf(c).rules(c, refuse);
  return problems;
}

/** Principals of Mesos' own parts, of Spark and of Marathon, and what else has a secret in Mesos' name. */
const RESERVED_PRINCIPALS = [...Object.values<string>(PRINCIPALS), ...OTHER_LOGINS].sort();

function openstackOnly(c: Config, refuse: Refuse): void {
  if (!platformOf(c).servers) return;
  for (const key of Object.keys(shape) as ConfigKey[]) {
    const info = infoOf(shape[key]);
    if (!info.userMustSet) continue;
    if (key === "externalNetwork" && !c.bastion && c.existingNetworkId !== undefined) continue;
    const value = c[key];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) {
      refuse(key, `set when platform is openstack (${info.rule})`, info.fix, undefined);
    }
  }
  if ((c.existingNetworkId === undefined) !== (c.existingSubnetId === undefined)) {
    const missing = c.existingNetworkId === undefined ? "existingNetworkId" : "existingSubnetId";
    refuse(missing, "set together with its twin", "give both existingNetworkId and existingSubnetId, or neither");
  }
  if (c.registry === undefined && c.registryUser !== undefined) {
    refuse("registryUser", "empty while registry is empty", "set registry too, or remove registryUser");
  }
}

function quorums(c: Config, refuse: Refuse): void {
  const members = zookeeperMembers(c);
  if (c.zookeeperPlacement === "masters" && members > c.masterCount) {
    refuse(
      c.zookeeperCount !== undefined ? "zookeeperCount" : "masterCount",
      `at most masterCount (${c.masterCount}) while ZooKeeper lives beside the masters`,
      `set masterCount to ${members}, or zookeeperPlacement to own`,
    );
  }
  zones(c, refuse);
  volumeZones(c, refuse);
  if (c.namenodeCount === 2) {
    if (!runsHdfs(c)) refuse("namenodeCount", "1 where there is no HDFS", "set datanodeCount to 1 or more");
    if (c.masterCount < 3) {
      refuse("namenodeCount", "1 with fewer than 3 masters (three JournalNodes live there)", "set masterCount to 3");
    }
  }
  if (runsHdfs(c) && c.existingNamenodes.length > 0) {
    refuse(
      "existingNamenodes",
      "empty where the cluster has an HDFS of its own",
      "set datanodeCount to 0, or remove it",
    );
  }
  if (c.existingNamenodes.length > 2) {
    refuse("existingNamenodes", "at most two: an active namenode and its standby", "name those two");
  }
  if (runsHdfs(c) && c.namenodeCount > c.masterCount) {
    refuse("namenodeCount", "at most masterCount", `set masterCount to ${c.namenodeCount} or more`);
  }
  unrepeated(c, "removedAgents", refuse);
  unrepeated(c, "existingNamenodes", refuse);
}

/** Data volumes are made in the zone that stands at the place of their machine's. */
function volumeZones(c: Config, refuse: Refuse): void {
  const [compute, volume] = [c.availabilityZones.length, c.volumeZones.length];
  if (volume === 0 || volume === Math.max(1, compute)) return;
  const rule =
    compute === 0 ? "one zone where availabilityZones is empty" : `as many as availabilityZones (${compute})`;
  refuse("volumeZones", rule, "name a zone of Cinder for each of availabilityZones, in their order");
}

function unrepeated(c: Config, key: "removedAgents" | "existingNamenodes" | "mesosFrameworks", refuse: Refuse): void {
  const repeated = new Set(c[key].filter((name, i) => c[key].indexOf(name) !== i));
  for (const name of repeated) refuse(key, "without repeats", `name ${name} once`, name);
}

/** Members are spread over the zones. Losing one zone must leave a majority of them, or naming several is of no use. */
function zones(c: Config, refuse: Refuse): void {
  const count = c.availabilityZones.length;
  const members = Math.max(c.masterCount, zookeeperMembers(c));
  if (count < 2 || members < 2 || c.antiAffinity !== "hard") return;
  const lost = Math.ceil(members / count);
  if (lost < members / 2) return;
  refuse(
    "availabilityZones",
    `one zone, or so many that the loss of one leaves a majority of ${members} masters or ZooKeeper members (with ${count} it takes ${lost})`,
    "name a third zone, or one only, or set antiAffinity to soft",
  );
}

function addresses(c: Config, refuse: Refuse): void {
  const network = new Address4(c.networkCidr);
  const size = 2 ** (32 - network.subnetMask);
  const agents = mostAgents(c) + c.removedAgents.filter((agent) => /^agent-\d+$/.test(agent)).length;
  // The last address is the broadcast address.
  const needed = FIRST_AGENT_OFFSET + agents + c.datanodeCount + 1;
  agentBlocks(c, agents, refuse);
  if (size < needed) {
    const bits = 32 - Math.ceil(Math.log2(needed));
    refuse(
      "networkCidr",
      `large enough for ${needed} addresses (${FIRST_AGENT_OFFSET} kept, ${agents} agents, ${c.datanodeCount} datanodes)`,
      `use a /${bits} or larger`,
    );
  }
  if (network.startAddress().addressMinusSuffix !== network.addressMinusSuffix) {
    refuse(
      "networkCidr",
      "the first address of its network",
      `use ${network.startAddress().addressMinusSuffix}/${network.subnetMask}`,
    );
  }
  const taken = [
    ["169.254.0.0/16", "link-local addresses, where the metadata service is"],
    ["127.0.0.0/8", "the loopback addresses"],
    ...platformOf(c).takenNetworks(c),
  ] as const;
  for (const [cidr, what] of taken) {
    if (overlap(c.networkCidr, cidr)) {
      refuse("networkCidr", `apart from ${cidr} (${what})`, "use another private network, such as 10.72.0.0/16");
    }
  }
  if (platformOf(c).servers) dockerBridge(c, refuse);
  fewAddresses(c, "adminCidrs", "list only networks that you administer from", refuse);
}

/** Machines reach nothing in the network of Docker's bridge, so nothing that the config names may lie there. */
function dockerBridge(c: Config, refuse: Refuse): void {
  const hostOf = (address: string | undefined): string =>
    /^(?:[a-z+]+:\/\/)?(?:[^@/]*@)?([^:/#?]+)/.exec(address ?? "")?.[1] ?? "";
  const named: [ConfigKey, readonly string[]][] = [
    // One in which the bridge is a part names more than it means.
    ["egressCidrs", c.egressCidrs.filter((cidr) => !new Address4(c.dockerCidr).isInSubnet(new Address4(cidr)))],
    ["dnsServers", c.dnsServers],
    ["existingNamenodes", c.existingNamenodes],
    ["ntpServers", c.ntpServers],
    ...(["httpProxy", "registry", "s3Endpoint", "aptMirror", "pythonIndex", "mavenMirror", "mesosSource"] as const).map(
      (key): [ConfigKey, readonly string[]] => [key, [hostOf(c[key])]],
    ),
  ];
  for (const [key, values] of named) {
    for (const value of values.filter((v) => isAddress(v) && overlap(v, c.dockerCidr))) {
      const fix = "set dockerCidr to a private network that nothing else uses, such as 10.200.0.0/24";
      refuse("dockerCidr", `apart from ${value} (${key}), which machines could not reach`, fix);
    }
  }
}

const isAddress = (text: string): boolean => /^[\d./]+$/.test(text) && Address4.isValid(text);

/** Groups of agents have names and addresses of their own. */
function agentBlocks(c: Config, agents: number, refuse: Refuse): void {
  const names = agentGroupNames(c);
  if (names.length === 0) return;
  const { size, first } = blocks(c.networkCidr);
  for (const name of names.filter((name) => Object.hasOwn(GROUPS, name))) {
    const rule = `named other than ${Object.keys(GROUPS).join(", ")}, which machines are called already`;
    refuse("agentGroups", rule, "choose another name", name);
  }
  for (const name of names) {
    const { count = 0, attributes = {} } = c.agentGroups[name] ?? {};
    const removed = c.removedAgents.filter((agent) => agent.startsWith(`agent-${name}-`)).length;
    if (count + removed > size) {
      const rule = `of no more than ${size} agents in networkCidr ${c.networkCidr}: a group has a sixty-fourth of the addresses`;
      refuse("agentGroups", rule, "use a larger network, or fewer agents", `${name}: ${count}`);
    }
    const twin = names.find((other) => other < name && blockOf(c, other) === blockOf(c, name));
    if (twin !== undefined) {
      const taken = names.map((other) => blockOf(c, other));
      const free = Array.from({ length: BLOCKS }, (_, i) => i + 1).find((block) => !taken.includes(block));
      const fix = free === undefined ? "use fewer groups" : `set addressBlock of the newer one, such as ${free}`;
      refuse("agentGroups", `with an addressBlock of its own: ${twin} has ${blockOf(c, name)} as well`, fix, name);
    }
    if (Object.keys(attributes).length > 0 && !hasMesos(c)) {
      const rule = `without attributes in architecture ${c.architecture}, which has no Mesos to ask for them`;
      refuse("agentGroups", rule, "remove them", name);
    }
    const { devices } = devicesOf(c, name);
    if (devices.length > 0 && hasMesos(c)) {
      const rule = `without gpus and devices in architecture ${c.architecture}: Mesos' agents would not hand them to executors`;
      refuse("agentGroups", rule, "remove them, or use architecture standalone", name);
    }
    if (new Set(devices).size < devices.length) {
      refuse("agentGroups", "with each of its gpus and devices named once", "remove what is named again", name);
    }
    if (GROUP_ATTRIBUTE in attributes) {
      const rule = `without an attribute ${GROUP_ATTRIBUTE}, which is the group's name`;
      refuse("agentGroups", rule, "remove it, or call it otherwise", name);
    }
  }
  if (FIRST_AGENT_OFFSET + agents > first) {
    const rule = `so large that ${agents} agents of no group lie in its lower half, below those of groups`;
    refuse("networkCidr", rule, "use a larger network");
  }
  if (c.datanodeCount + 1 > first - BLOCKS * size) {
    refuse(
      "networkCidr",
      `so large that ${c.datanodeCount} datanodes lie above the groups of agents`,
      "use a larger one",
    );
  }
}

function portOverlaps(c: Config, script: Checkout["script"], refuse: Refuse): void {
  const ranges = usedPorts(c, script).sort((a, b) => a.first - b.first || a.last - b.last);
  const text = (r: { first: number; last: number }) => (r.first === r.last ? `${r.first}` : `${r.first}-${r.last}`);
  for (const [i, range] of ranges.entries()) {
    if (range.last > 65535) refuse(range.key, `at most ${65535 - (range.last - range.first)}`, "use a lower port");
    for (const other of ranges.slice(i + 1)) {
      if (other.first > range.last) break;
      refuse(
        other.key,
        `apart from ${range.key} (${text(range)})${other.last > other.first ? `; it takes ${text(other)}` : ""}`,
        `move ${other.key} or ${range.key}`,
      );
    }
  }
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function features(c: Config, refuse: Refuse): void {
  if (!isTimeZone(c.timeZone)) refuse("timeZone", "a time zone of the IANA list", "name one, such as Europe/Berlin");
  if (c.httpProxy === undefined && c.noProxy.length > 0) {
    refuse("noProxy", "empty while httpProxy is empty", "set httpProxy too, or remove noProxy");
  }
  if (c.historyServer && !hasHdfs(c)) {
    const fix = "set datanodeCount to 1 or more, or name existingNamenodes";
    refuse("historyServer", "false where there is no HDFS to keep event logs in", fix);
  }
  if (c.sparkConnect && !c.dynamicAllocation) {
    const fix = "set dynamicAllocation to true, or sparkConnect to false";
    refuse("sparkConnect", "false while dynamicAllocation is: its driver never ends, and would keep its cores", fix);
  }
  notebookHub(c, refuse);
  unrepeated(c, "mesosFrameworks", refuse);
  for (const name of c.mesosFrameworks) {
    if (name === c.mesosRole || RESERVED_PRINCIPALS.includes(name)) {
      const taken = [...new Set([...RESERVED_PRINCIPALS, c.mesosRole])].join(", ");
      refuse("mesosFrameworks", `other than ${taken}, which this cluster itself uses`, "choose another name", name);
    }
  }
  teams(c, refuse);
  if (c.mesosCgroups !== "auto" && !hasMesos(c)) {
    refuse("mesosCgroups", `auto in architecture ${c.architecture}, which has no Mesos`, "remove it");
  }
  if (c.mesosTls) mesosTls(c, refuse);
  if (c.marathonWorkers !== undefined && c.marathonWorkers > c.agentCount) {
    refuse("marathonWorkers", `at most agentCount (${c.agentCount}): one worker a machine`, "add agents, or lower it");
  }
  const s3 = (["s3Endpoint", "s3AccessKey", "s3SecretKey"] as const).filter((key) => c[key] === undefined);
  if (s3.length === 1 || s3.length === 2) {
    for (const key of s3)
      refuse(key, "set together with the other s3 keys", "give all three of them, or none", undefined);
  }
  if (usesShare(c) && !platformOf(c).servers) {
    refuse("sharedStorage", `nfs or none on platform ${c.platform}, which has no Manila`, "remove it");
  }
  if (c.shareType !== undefined && !usesShare(c)) {
    refuse("shareType", `empty while sharedStorage is ${c.sharedStorage}`, "remove it, or set sharedStorage to manila");
  }
  if (makesContainer(c)) {
    const named = (["s3Endpoint", "s3AccessKey", "s3SecretKey"] as const).filter((key) => c[key] !== undefined);
    if (!platformOf(c).servers) {
      const fix = "remove it; for an object store that you have, set s3Endpoint, s3AccessKey and s3SecretKey";
      refuse("objectStore", `none on platform ${c.platform}, which has no object store of its own`, fix);
    } else if (named.length > 0) {
      refuse(
        "objectStore",
        `none while ${named.join(", ")} name an object store: one is enough`,
        "remove it, or those",
      );
    }
  }
  if (platformOf(c).plainSecrets) {
    // The registry's password is of no use there.
    const keys = (Object.keys(c) as ConfigKey[]).filter((key) => key !== "registryPassword");
    for (const key of keys.filter((key) => holdsHidden(c[key]))) {
      refuse(key, "readable without the Pulumi CLI for `make up`", "give the value itself", HIDDEN);
    }
  }
  if (hasRegistry(c) && c.registryPassword !== undefined) {
    refuse("registryPassword", "empty while registry is empty", "set registry too, or remove it", HIDDEN);
  }
}

/** MiB of a user's container beside a driver's heap: Jupyter, Java itself, a kernel. */
const NOTEBOOK_MIB = 512;

/** A hub has users, room for their drivers, and so far one kind of cluster. */
function notebookHub(c: Config, refuse: Refuse): void {
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

/** Whoever talks to Mesos then has a certificate. */
function mesosTls(c: Config, refuse: Refuse): void {
  const facts = architectureOf(c);
  if (facts.mesos === "none") {
    refuse("mesosTls", `false in architecture ${c.architecture}, which has no Mesos`, "remove it");
  } else if (facts.executorsStartedBy !== "mesos") {
    refuse("mesosTls", `false in architecture ${c.architecture}: Marathon has not been tried with it`, "remove it");
  }
  if (c.mesosFrameworks.length > 0) {
    const rule = "false with mesosFrameworks, which have no certificates";
    refuse("mesosTls", rule, "remove one of them", c.mesosFrameworks.join(", "));
  }
}

/** Teams have names of their own, room for an executor each, and no more together than the agents have. */
function teams(c: Config, refuse: Refuse): void {
  const names = teamNames(c);
  const facts = architectureOf(c);
  if (names.length > 0 && facts.executorsStartedBy !== "mesos") {
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
    if (facts.executorsStartedBy !== "mesos") {
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

function sparkProperties(c: Config, refuse: Refuse): void {
  for (const property of Object.keys(c.sparkConf)) {
    const refused = refusedProperty(c, architectureOf(c), property);
    if (refused) refuse("sparkConf", refused.rule, refused.fix, property);
  }
}

/** An executor fits each agent, and executors and daemons fit the agent's machine, as far as the config tells sizes. */
function agentRoom(c: Config, refuse: Refuse): void {
  for (const { name, config } of agentConfigs(c)) {
    if (name === undefined) roomOn(config, refuse);
    // The group's own key is what is to be changed, whatever the key of the others is called.
    else if (config.agentCount > 0) {
      roomOn(config, (key, rule, fix, value = config[key]) => refuse("agentGroups", rule, fix, `${name}: ${value}`));
    }
  }
}

function roomOn(c: Config, refuse: Refuse): void {
  const facts = architectureOf(c);
  const { cores, memoryMiB } = agentSize(c, facts);
  const needed = executorMiB(c);
  if (facts.sparkMaster !== "marathon" && memoryMiB !== undefined && memoryMiB < needed) {
    const key = c.agentMemoryMiB === undefined ? "executorMemoryMiB" : "agentMemoryMiB";
    const what = `${c.executorMemoryMiB} MiB of heap and ${overheadMiB(c)} beside it`;
    const larger = c.agentMemoryMiB === undefined ? "a larger agentFlavor" : `${needed} or more`;
    refuse(
      key,
      `so that one executor (${what}) fits the ${memoryMiB} MiB that an agent has for executors`,
      `use ${larger}, or lower executorMemoryMiB or executorMemoryOverheadMiB`,
    );
  }
  if (c.executorCores !== undefined && cores !== undefined && c.executorCores > cores) {
    refuse("executorCores", `at most ${cores}, the cores of one agent`, `use ${cores} or less, or larger agents`);
  }
  const flavor = platformOf(c).servers ? agentFlavorSize(c) : undefined;
  const room = flavor && roomOf(flavor.ramMiB, c, facts);
  if (flavor && room !== undefined && c.agentMemoryMiB !== undefined && c.agentMemoryMiB > room) {
    const beside = `its system and the daemons (${daemonsMiB(c, facts)} MiB) need the rest`;
    refuse(
      "agentMemoryMiB",
      `at most ${room}, what ${c.agentFlavor} with its ${flavor.ramMiB} MiB has for executors: ${beside}`,
      `use ${Math.max(0, room)} or less, or a larger agentFlavor`,
    );
  }
}

/** Whether a value, or one in a table, is encrypted and not known here. */
const holdsHidden = (value: unknown): boolean =>
  value === HIDDEN || (typeof value === "object" && value !== null && Object.values(value).some(holdsHidden));
