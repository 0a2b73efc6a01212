import { Address4 } from "ip-address";
import { BLOCKS, blocks } from "../../agent-groups.ts";

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
