import { Address4 } from "ip-address";
import { GROUPS } from "./groups.ts";
import type { Group } from "./types.ts";

/** First and last offset of the addresses that the cloud's DHCP may give out. The gateway's address is below them. */
export const cloudPool = { first: 2, last: 9 } as const;

/** Makes a function from group and number (from 1) to address. */
export function addressPlan(cidr: string): (group: Group, number: number) => string {
  const network = new Address4(cidr);
  const start = Number(network.startAddress().bigInt());
  const size = 2 ** (32 - network.subnetMask);
  return (group, number) => {
    const block = GROUPS[group].addresses;
    return dotted(block.from === "start" ? start + block.offset + number - 1 : start + size - 1 - number);
  };
}

/** Address at an offset of the network. */
export function addressAt(cidr: string, offset: number): string {
  return dotted(Number(new Address4(cidr).startAddress().bigInt()) + offset);
}

/** Whether two networks, or addresses, have an address in common. */
export function overlap(a: string, b: string): boolean {
  const [x, y] = [new Address4(a), new Address4(b)];
  return x.isInSubnet(y) || y.isInSubnet(x);
}

function dotted(n: number): string {
  return [24, 16, 8, 0].map((shift) => (n >>> shift) & 255).join(".");
}
