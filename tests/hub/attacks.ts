import { expect } from "vitest";

const NOTHING = expect.stringMatching(/^(FileNotFoundError|PermissionError|ConnectionRefusedError)$/);
const REFUSED = expect.toSatisfy((status: unknown) => status === 403 || status === 404 || status === 302);

/**
 * What `tests/cluster/hub_attacks.py` says when bob gets nothing of alice's.
 *
 * @param herServer What bob is told at her server's own port: it is there and refuses, or is not reached.
 */
export const nothingOfHers = (herServer: "refused" | "not reached"): Record<string, unknown> => {
  const atHerServer = herServer === "refused" ? REFUSED : NOTHING;
  return {
    home: NOTHING,
    work: NOTHING,
    "all work": ["bob"],
    processes: [],
    "her address": "OSError",
    "her server without a token": atHerServer,
    "her server with one's own": atHerServer,
    "stopping her server": REFUSED,
    "a token of hers": REFUSED,
    "what the hub knows of her": REFUSED,
    "the hub around its proxy": NOTHING,
    "the guard": NOTHING,
    Docker: NOTHING,
    capabilities: ["0000000000000000", "0000000000000000", "1"],
  };
};
