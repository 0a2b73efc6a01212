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

/**
 * What `tests/cluster/hub_mesos.py` says to a user when Mesos knows them as themselves alone.
 *
 * @param role Of the other user's team. @param another Another one that is not the user's.
 */
export const asOneselfAlone = (other: string, role: string, another: string): Record<string, unknown> => {
  const notIn = (name: string) => [
    200,
    expect.stringMatching(new RegExp(`"ERROR".*Not authorized to register framework .*${name}`, "s")),
  ];
  return {
    "her role": notIn(role),
    "another role": notIn(another),
    "no role": notIn("\\*"),
    "her principal": [400, expect.stringContaining(`does not match principal 'user.${other}'`)],
    "her principal with one's secret": [401, expect.any(String)],
    "her framework": [200, expect.stringContaining('"ERROR"')],
    "the end of her framework": [403, expect.any(String)],
    "a quota": [403, expect.any(String)],
    "one's own role": [200, expect.stringContaining('"SUBSCRIBED"')],
    logins: ["login"],
  };
};
