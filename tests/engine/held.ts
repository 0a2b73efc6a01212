import type { FakeCloud } from "./fake-cloud.ts";
import type { StateResource } from "./stack.ts";

/** Gives an OpenStack in memory what a recorded state says it has, with the same ids. */

type Values = Readonly<Record<string, unknown>>;

/** Neutron gives null for a rule without a bound, where the provider gives 0 or an empty string. */
const orNull = (value: unknown): unknown => (value === 0 || value === "" ? null : value);

const items = (value: unknown): Values[] => (value ?? []) as Values[];

/** For each type, its collection in the cloud's API and its body there. */
const HELD: Readonly<Record<string, readonly [path: string, body: (values: Values) => Values]>> = {
  "openstack:compute/keypair:Keypair": ["/compute/v2.1/os-keypairs", ({ name }) => ({ name })],
  "openstack:compute/serverGroup:ServerGroup": [
    "/compute/v2.1/os-server-groups",
    ({ name, policies }) => ({ name, policies }),
  ],
  "openstack:networking/network:Network": ["/network/v2.0/networks", ({ name }) => ({ name })],
  "openstack:networking/subnet:Subnet": [
    "/network/v2.0/subnets",
    ({ name, networkId, cidr, gatewayIp, ipVersion, allocationPools }) => ({
      name,
      network_id: networkId,
      cidr,
      gateway_ip: gatewayIp,
      ip_version: ipVersion,
      allocation_pools: allocationPools,
    }),
  ],
  "openstack:networking/router:Router": [
    "/network/v2.0/routers",
    ({ name, externalNetworkId }) => ({ name, external_gateway_info: { network_id: externalNetworkId } }),
  ],
  "openstack:networking/routerInterface:RouterInterface": [
    "/network/v2.0/ports",
    ({ routerId, subnetId }) => ({
      name: "",
      device_id: routerId,
      device_owner: "network:router_interface",
      fixed_ips: [{ subnet_id: subnetId, ip_address: "10.72.0.1" }],
    }),
  ],
  "openstack:networking/secGroup:SecGroup": [
    "/network/v2.0/security-groups",
    ({ name, description }) => ({ name, description }),
  ],
  "openstack:networking/secGroupRule:SecGroupRule": [
    "/network/v2.0/security-group-rules",
    (rule) => ({
      description: rule.description,
      direction: rule.direction,
      ethertype: rule.ethertype,
      protocol: orNull(rule.protocol),
      port_range_min: orNull(rule.portRangeMin),
      port_range_max: orNull(rule.portRangeMax),
      remote_group_id: orNull(rule.remoteGroupId),
      remote_ip_prefix: orNull(rule.remoteIpPrefix),
      security_group_id: rule.securityGroupId,
    }),
  ],
  "openstack:networking/port:Port": [
    "/network/v2.0/ports",
    ({ name, networkId, fixedIps, securityGroupIds }) => ({
      name,
      network_id: networkId,
      fixed_ips: items(fixedIps).map(({ subnetId, ipAddress }) => ({ subnet_id: subnetId, ip_address: ipAddress })),
      security_groups: securityGroupIds,
    }),
  ],
  "openstack:networking/floatingIp:FloatingIp": [
    "/network/v2.0/floatingips",
    ({ portId, description }) => ({ port_id: portId, description, floating_network_id: "external" }),
  ],
  "openstack:blockstorage/volume:Volume": ["/volume/v3/volumes", ({ name, size }) => ({ name, size })],
  "openstack:compute/instance:Instance": [
    "/compute/v2.1/servers",
    ({ name, flavorId, imageId, metadata, networks, keyPair }) => ({
      name,
      flavorRef: flavorId,
      imageRef: imageId,
      metadata,
      networks: items(networks).map(({ port }) => ({ port })),
      key_name: keyPair,
    }),
  ],
};

/**
 * Gives the cloud the resources of a state. A state lists dependencies first, so every resource finds those that it needs.
 *
 * @throws Error for an OpenStack type that this does not know.
 */
export function holdState(cloud: FakeCloud, resources: readonly StateResource[]): void {
  for (const { type, id = "", outputs = {} } of resources) {
    if (!type.startsWith("openstack:")) continue;
    const held = HELD[type];
    if (!held) throw new Error(`no way to hold a ${type} is known`);
    const [path, body] = held;
    cloud.hold(path, id, body(outputs));
  }
}
