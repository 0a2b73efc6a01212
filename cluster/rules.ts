import { infoOf } from "../config/fields.ts";
import type { Problem } from "../config/problems.ts";
import { type Config, type ConfigKey, shape } from "../config/schema.ts";
import { HIDDEN } from "../config/secrets.ts";
import type { Checkout } from "../lib/checkout.ts";
import { addressRules } from "./address-rules.ts";
import { agentConfigs } from "./agent-groups.ts";
import { architectureOf, hasMesos } from "./architectures/index.ts";
import type { Refuse } from "./architectures/record.ts";
import { hasHdfs, hasRegistry, runsHdfs } from "./features.ts";
import { zookeeperMembers } from "./groups.ts";
import { agentFlavorSize, agentSize, daemonsMiB, executorMiB, overheadMiB, roomOf } from "./memory.ts";
import { makesContainer } from "./object-store.ts";
import { platformOf } from "./platforms.ts";
import { usedPorts } from "./ports.ts";
import { scalingRules } from "./scaling.ts";
import { certificateOfToday, gatewayRules } from "./services/gateway/rules.ts";
import { hubRules } from "./services/hub/rules.ts";
import { RESERVED_PRINCIPALS } from "./services/mesos/principals.ts";
import { usesShare } from "./shared-storage.ts";
import { refusedProperty } from "./spark-properties.ts";
import { teamRules } from "./team-rules.ts";

/**
 * Problems that depend on the date, such as a certificate that has expired. Checked before a cluster comes up, and not by commands that
 * look at one or remove it.
 */
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
  addressRules(c, refuse);
  portOverlaps(c, script, refuse);
  gatewayRules(c, script, refuse);
  features(c, refuse);
  sparkProperties(c, refuse);
  agentRoom(c, refuse);
  scalingRules(c, refuse);
  architectureOf(c).rules(c, refuse);
  return problems;
}

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

/** `volumeZones` has a zone for each of `availabilityZones`, in their order. */
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
  hubRules(c, refuse);
  unrepeated(c, "mesosFrameworks", refuse);
  for (const name of c.mesosFrameworks) {
    if (name === c.mesosRole || RESERVED_PRINCIPALS.includes(name)) {
      const taken = [...new Set([...RESERVED_PRINCIPALS, c.mesosRole])].join(", ");
      refuse("mesosFrameworks", `other than ${taken}, which this cluster itself uses`, "choose another name", name);
    }
  }
  teamRules(c, refuse);
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

/** `mesosTls` needs a Mesos, and everything that connects to it needs a certificate. */
function mesosTls(c: Config, refuse: Refuse): void {
  if (architectureOf(c).mesos === "none") {
    refuse("mesosTls", `false in architecture ${c.architecture}, which has no Mesos`, "remove it");
  }
  if (c.mesosFrameworks.length > 0) {
    const rule = "false with mesosFrameworks, which have no certificates";
    refuse("mesosTls", rule, "remove one of them", c.mesosFrameworks.join(", "));
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
