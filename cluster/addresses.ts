import { Address4 } from "ip-address";

/**
 * Where in the cluster's network each machine's address lies. Every role has a fixed block, so that adding or removing
 * a machine never moves another one. The first ten addresses are left to the cloud: gateway, DHCP, DNS.
 */
const OFFSETS = {
  bastion: 10,
  client: 11,
  registry: 12,
  master: 16,
  zookeeper: 32,
} as const;

/** First address that the cloud may hand out by itself (DHCP and the like). */
export const cloudPool = { first: 2, last: 9 } as const;

/** Offset of `agent-1`. Datanodes are counted down from the end, so neither block limits the other. */
export const firstAgentOffset = 64;

export type AddressBlock = keyof typeof OFFSETS | "agent" | "datanode";

/** Makes a function from role and number (from 1) to address. */
export function addressPlan(cidr: string): (block: AddressBlock, number: number) => string {
  const network = new Address4(cidr);
  const start = Number(network.startAddress().bigInt());
  const size = 2 ** (32 - network.subnetMask);
  return (block, number) => {
    switch (block) {
      case "agent":
        return dotted(start + firstAgentOffset + number - 1);
      case "datanode":
        return dotted(start + size - 1 - number);
      default:
        return dotted(start + OFFSETS[block] + number - 1);
    }
  };
}

/** Address at an offset of the network. */
export function addressAt(cidr: string, offset: number): string {
  return dotted(Number(new Address4(cidr).startAddress().bigInt()) + offset);
}

function dotted(n: number): string {
  return [24, 16, 8, 0].map((shift) => (n >>> shift) & 255).join(".");
}
