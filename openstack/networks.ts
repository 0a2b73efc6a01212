import { Address4 } from "ip-address";
import type { Cluster } from "../cluster/types.ts";
import { type Config, required } from "../config/schema.ts";
import type { Cloud } from "./cloud.ts";
import { unlessRefused } from "./errors.ts";
import { type Findings, instead } from "./findings.ts";
import { findById } from "./guest-images.ts";
import { machineOf } from "./inventory.ts";

/** Networks that there are already: the external one, and the one that the config names for the machines. */

/** A network as Neutron describes it. */
export interface Network {
  id: string;
  name: string;
  project_id?: string;
  "router:external"?: boolean;
  port_security_enabled?: boolean;
}

/** The network that floating IPs come from; nothing where none is needed, or where it is not clear which, which is then among the findings. */
export async function findExternalNetwork(cloud: Cloud, c: Config, findings: Findings): Promise<Network | undefined> {
  const wanted = c.externalNetwork;
  if (wanted === undefined || (c.existingNetworkId !== undefined && !c.bastion)) return undefined;
  const named = await cloud.list<Network>("network", "/networks", "networks", { name: wanted });
  const byId = (await findById<{ network: Network }>(cloud, "network", "/networks", wanted))?.network;
  const found = byId ? [byId] : named;
  const external = found.filter((n) => n["router:external"]);
  const [one] = external;
  if (one && external.length === 1) {
    await checkExternalNetwork(cloud, c, one, findings);
    return one;
  }
  if (external.length > 1) {
    // Floating IPs are asked for by the network's name, so an id would not help.
    const fix = "name a network whose name no other external network has";
    findings.refuse("externalNetwork", wanted, `${external.length} external networks have this name`, fix);
    return undefined;
  }
  const all = await cloud.list<Network>("network", "/networks", "networks", { "router:external": "true" });
  findings.refuse(
    "externalNetwork",
    wanted,
    found.length > 0 ? "that network is not external" : "there is no such network",
    instead(wanted, all.map((n) => n.name).sort()),
  );
  return undefined;
}

/** Whether floating IPs can be had of an external network by its name, and whether its addresses are none of the cluster's. */
async function checkExternalNetwork(cloud: Cloud, c: Config, network: Network, findings: Findings): Promise<void> {
  const wanted = c.externalNetwork;
  const [alike, subnets] = await Promise.all([
    c.bastion ? cloud.list<Network>("network", "/networks", "networks", { name: network.name }) : [],
    // Most clouds show no project the subnets of such a network.
    cloud.list<Subnet>("network", "/subnets", "subnets", { network_id: network.id }),
  ]);
  const others = alike.filter(({ id, name }) => id !== network.id && name === network.name);
  if (others.length > 0) {
    const wrong = `floating IPs are asked for by its name, ${network.name}, which ${others.map(({ id }) => id).join(", ")} has too`;
    findings.refuse("externalNetwork", wanted, wrong, "give that one another name, or set bastion to false");
  }
  if (subnets.length > 0 && subnets.every((subnet) => subnet.ip_version === 6)) {
    const fix = "name an external network with an IPv4 subnet: addresses of machines are IPv4";
    findings.refuse("externalNetwork", wanted, "all of its subnets are IPv6", fix);
  }
  if (c.existingNetworkId !== undefined) return;
  const own = new Address4(c.networkCidr);
  const ipv4 = subnets.filter((subnet) => subnet.ip_version === 4).map(({ cidr }) => cidr);
  const over = ipv4.filter((cidr) => own.isInSubnet(new Address4(cidr)) || new Address4(cidr).isInSubnet(own));
  if (over.length === 0) return;
  const wrong = `externalNetwork ${network.name} has the addresses ${over.join(", ")}`;
  // Neutron refuses where the router's own address is in one of these.
  if (over.length < ipv4.length) findings.warn(`networkCidr: ${wrong}, which machines do not reach then`);
  else {
    const fix = "use addresses that it does not have";
    findings.refuse("networkCidr", c.networkCidr, `${wrong}, and no router leads from a network into itself`, fix);
  }
}

/** Whether Neutron has what a cluster is made of: some clouds have networks alone. */
export async function checkNetworkService(cloud: Cloud, c: Config, findings: Findings): Promise<void> {
  const [routers, groups] = await Promise.all(
    ["routers", "security-groups"].map((kind) => unlessRefused(cloud.find("network", `/${kind}?limit=1`), {})),
  );
  if (groups === undefined) {
    const wrong = "its networks have no security groups, so that nothing would keep others out";
    findings.refuse("cloud", undefined, wrong, "use a cloud whose Neutron has them (extension security-group)");
  }
  if (routers !== undefined) return;
  const wrong = "this cloud's networks have no routers (extension router)";
  if (c.existingNetworkId === undefined) {
    const fix = "set existingNetworkId and existingSubnetId to a network that leads outside, and bastion to false";
    findings.refuse("existingNetworkId", undefined, wrong, fix);
  } else if (c.bastion) findings.refuse("bastion", true, `${wrong}, and so no floating IPs`, "set bastion to false");
}

interface Subnet {
  network_id: string;
  cidr: string;
  ip_version: number;
  gateway_ip?: string | null;
  enable_dhcp?: boolean;
  dns_nameservers?: string[];
}

interface NetworkPort {
  name: string;
  device_owner?: string;
  fixed_ips?: { ip_address: string; subnet_id?: string }[];
}

/** What Neutron has as the owner of a router's port, whatever the kind of router. */
const ROUTER = /^network:(router|ha_router)/;

/** Checks that an existing network contains `networkCidr`, and that none of the machines' addresses is in use. */
export async function checkExistingNetwork(cloud: Cloud, cluster: Cluster, findings: Findings): Promise<void> {
  const c = cluster.config;
  if (c.existingNetworkId === undefined) return;
  const subnetId = required(c, "existingSubnetId");
  const [network, subnet] = await Promise.all([
    findById<{ network: Network }>(cloud, "network", "/networks", c.existingNetworkId),
    findById<{ subnet: Subnet }>(cloud, "network", "/subnets", subnetId),
  ]);
  if (!network) {
    const fix = "give the id of a network of this project: openstack network list";
    findings.refuse("existingNetworkId", c.existingNetworkId, "there is no network with this id", fix);
  }
  if (!subnet) {
    const fix = "give the id of a subnet of existingNetworkId: openstack subnet list";
    findings.refuse("existingSubnetId", subnetId, "there is no subnet with this id", fix);
  }
  if (network?.network.port_security_enabled === false) {
    const fix = "enable it (openstack network set --enable-port-security), or leave existingNetworkId out";
    const wrong = "its port security is off, so that no security group holds there";
    findings.refuse("existingNetworkId", c.existingNetworkId, wrong, fix);
  }
  if (!network || !subnet) return;
  const { network_id: owner, cidr, ip_version: version, gateway_ip: gateway } = subnet.subnet;
  if (owner !== c.existingNetworkId) {
    const fix = "give the id of a subnet of existingNetworkId";
    findings.refuse("existingSubnetId", subnetId, `it belongs to network ${owner}`, fix);
    return;
  }
  if (version !== 4 || !new Address4(c.networkCidr).isInSubnet(new Address4(cidr))) {
    const fix = version === 4 ? `use a free part of ${cidr}` : "give the id of an IPv4 subnet in existingSubnetId";
    findings.refuse("networkCidr", c.networkCidr, `existingSubnetId has the addresses ${cidr}`, fix);
    return;
  }
  await checkForeign(cloud, network.network, subnet.subnet, c, findings);
  const ports = await cloud.list<NetworkPort>("network", "/ports", "ports", {
    network_id: c.existingNetworkId,
    fields: ["id", "name", "fixed_ips", "device_owner"],
  });
  const leadsOut = ports.some(
    ({ device_owner = "", fixed_ips = [] }) =>
      ROUTER.test(device_owner) && fixed_ips.some(({ subnet_id }) => subnet_id === subnetId),
  );
  // Who does not own a network may not see its router.
  if (c.bastion && !leadsOut && network.network.project_id === (await cloud.projectId())) {
    const fix = "openstack router add subnet, with a router to externalNetwork, or set bastion to false";
    findings.refuse(
      "existingSubnetId",
      subnetId,
      "no router leads out of it, and the bastion's floating IP needs one",
      fix,
    );
  }
  const ours = new Map(cluster.machines.map((m) => [m.address, m.name]));
  const taken = ports.flatMap((port) => {
    const machine = machineOf(cluster.name, port.name);
    return (port.fixed_ips ?? [])
      .map((ip) => ip.ip_address)
      .filter((address) => ours.has(address) && ours.get(address) !== machine);
  });
  if (gateway && ours.has(gateway)) taken.push(gateway);
  if (taken.length > 0) {
    const fix = `use another part of ${cidr}, in which no address is in use`;
    findings.refuse("networkCidr", c.networkCidr, `in use by others: ${[...new Set(taken)].join(", ")}`, fix);
  }
}

/** Checks of a network that somebody else runs. */
async function checkForeign(
  cloud: Cloud,
  network: Network,
  subnet: Subnet,
  c: Config,
  findings: Findings,
): Promise<void> {
  if (network.project_id && network.project_id !== (await cloud.projectId()))
    findings.warn(
      `existingNetworkId: ${network.name} belongs to another project, and most clouds let only its owner choose addresses in it (policy create_port:fixed_ips): use a network of this project, or ask for that policy`,
    );
  if (subnet.enable_dhcp === false && !c.configDrive)
    findings.refuse(
      "configDrive",
      false,
      "existingSubnetId has no DHCP, so that machines learn neither their address nor their user data",
      "set configDrive to true, or enable it (openstack subnet set --dhcp)",
    );
  if (subnet.dns_nameservers?.length === 0)
    findings.warn(
      `existingSubnetId: it names no DNS servers, and not every cloud has one of its own: openstack subnet set --dns-nameserver`,
    );
}
