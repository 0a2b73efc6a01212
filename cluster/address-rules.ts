/** Rules of the cluster's addresses: its network's size and place, and the blocks of its groups of agents. */

import { Address4 } from "ip-address";
import type { Config, ConfigKey } from "../config/schema.ts";
import { overlap } from "./addresses.ts";
import { agentGroupNames, BLOCKS, blockOf, blocks, devicesOf, GROUP_ATTRIBUTE } from "./agent-groups.ts";
import { hasMesos } from "./architectures/index.ts";
import type { Refuse } from "./architectures/record.ts";
import { FIRST_AGENT_OFFSET, GROUPS } from "./groups.ts";
import { fewAddresses } from "./networks.ts";
import { platformOf } from "./platforms.ts";
import { mostAgents } from "./scaling.ts";

/** The network holds all machines, and lies apart from those that machines must reach and from Docker's. */
export function addressRules(c: Config, refuse: Refuse): void {
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
    // A network that contains the bridge's is meant for more than the bridge, so it is allowed.
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
