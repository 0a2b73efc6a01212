import type { Config } from "../config/schema.ts";
import { addressAt } from "./addresses.ts";
import { blocks as addressesOfGroup, agentGroupNames, configOfAgents, firstOffset } from "./agent-groups.ts";
import { FIRST_AGENT_OFFSET, GROUPS, lastAgent } from "./groups.ts";
import { mostAgents } from "./scaling.ts";

/** Addresses in the first block of agents: as far as most clusters come. */
const FIRST_BLOCK = 64;

/**
 * Who may mount the cloud's share: the client, and the addresses that agents have. A rule for each agent would be one more resource
 * for each, made and deleted by the cloud one after the other; one rule for the whole network would let in machines that have no
 * business there. So agents are named by blocks of addresses that are theirs alone: the first 64, then as many again each time,
 * as far as there are agents. A cluster of up to 64 has one rule for them, one of a thousand five, and one more agent changes none.
 */
export function shareClients(c: Config): string[] {
  const client = GROUPS.client.addresses;
  if (client.from !== "start") throw new Error("the client has no address of its own");
  const blocks = [undefined, ...agentGroupNames(c)].flatMap((name) => {
    const agents = configOfAgents(c, name);
    // As many as there may ever be: `triplewide scale` changes agents alone.
    if (name === undefined)
      return doubling(FIRST_AGENT_OFFSET, lastAgent({ ...agents, agentCount: mostAgents(c) }), FIRST_BLOCK);
    const last = lastAgent(agents, name);
    return doubling(firstOffset(c, name), last, Math.min(FIRST_BLOCK, addressesOfGroup(c.networkCidr).size));
  });
  const single = { offset: client.offset, size: 1 };
  return [single, ...blocks].map(({ offset, size }) => `${addressAt(c.networkCidr, offset)}/${32 - Math.log2(size)}`);
}

interface Block {
  offset: number;
  size: number;
}

/** Blocks from an offset on that hold so many addresses, each twice the one before it where its offset allows. */
function doubling(offset: number, addresses: number, first: number): Block[] {
  const found: Block[] = [];
  for (let next = offset; next < offset + addresses; ) {
    // No network is larger than the power of two that divides its address.
    const size = Math.min(next & -next, found.length === 0 ? first : 2 * (found.at(-1)?.size ?? first));
    found.push({ offset: next, size });
    next += size;
  }
  return found;
}
