import { Address4 } from "ip-address";
import { BLOCKS, blocks } from "../../agent-groups.ts";
import { SPARK_PORT_RANGE } from "../spark/spark.ts";

/** Where the servers of the hub's users are in the cluster's network. */

/** Addresses of users' servers: the block of the network that follows those of groups of agents. */
export function userAddresses(networkCidr: string): { first: number; size: number } {
  const { size, first } = blocks(networkCidr);
  // The first one of a block may be a network's own, or look like it.
  return { first: first + BLOCKS * size, size: size - 1 };
}

/** That block as a network. */
export function userBlock(networkCidr: string): string {
  const { first, size } = userAddresses(networkCidr);
  const start = new Address4(networkCidr).startAddress().bigInt() + BigInt(first);
  return `${Address4.fromBigInt(start).correctForm()}/${32 - Math.log2(size + 1)}`;
}

/** Addresses of a network that the client has for one user's server alone: its own, the client's and the server's, and the last. */
const NETWORK = 4;

/**
 * Ports of the client that lead to one user's drivers: as many for their connections, for their blocks, and for what Mesos' masters say.
 *
 * @param logins How many users register with Mesos.
 */
export const portsOfUser = (logins: number): number => (logins > 0 ? 3 : 2) * SPARK_PORT_RANGE;

/** Users that a hub on a machine has in its life. Their ports end below those that systems choose from. */
const MOST_ON_MACHINE = 128;

/**
 * Users that there are addresses for, those that left included.
 *
 * @param servers Whether each has a network of their own (`PlatformRecord.servers`).
 */
export function mostUsers(networkCidr: string, servers: boolean): number {
  const { size } = userAddresses(networkCidr);
  return servers ? Math.min(MOST_ON_MACHINE, Math.floor((size + 1) / NETWORK) - 1) : size;
}
