import { Address4 } from "ip-address";
import type { Config } from "../config/schema.ts";
import { overlap } from "./addresses.ts";
import type { Refuse } from "./architectures/record.ts";

/** Networks outside of the cluster that may connect to it. */

/** Most addresses that networks of people may have together, in however many pieces: more is a good part of the internet. */
const MOST_ADDRESSES = 4 * 2 ** 24;

/** How many addresses there are in networks that may overlap. */
function addressesIn(cidrs: readonly string[]): number {
  const ranges = cidrs
    .map((cidr) => new Address4(cidr))
    .map((a) => [Number(a.startAddress().bigInt()), Number(a.endAddress().bigInt())] as const)
    .sort(([a], [b]) => a - b);
  let [total, next] = [0, 0];
  for (const [first, last] of ranges) {
    total += Math.max(0, last + 1 - Math.max(first, next));
    next = Math.max(next, last + 1);
  }
  return total;
}

/** Networks of people are apart from the cluster's own, and not the world, in however many pieces. */
export function fewAddresses(c: Config, key: "adminCidrs" | "userCidrs", fix: string, refuse: Refuse): void {
  const total = addressesIn(c[key]);
  if (total > MOST_ADDRESSES) {
    const rule = `together at most ${MOST_ADDRESSES} addresses, four networks such as 10.0.0.0/8 (they are ${total})`;
    refuse(key, rule, fix);
    return;
  }
  for (const cidr of c[key].filter((one) => overlap(one, c.networkCidr))) {
    refuse(key, `apart from networkCidr (${c.networkCidr})`, "choose another networkCidr", cidr);
  }
}
