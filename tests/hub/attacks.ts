import { expect } from "vitest";

const NOTHING = expect.stringMatching(/^(FileNotFoundError|PermissionError|ConnectionRefusedError)$/);
const REFUSED = expect.toSatisfy((status: unknown) => status === 403 || status === 404 || status === 302);

/**
 * The output of `tests/cluster/hub_attacks.py` if all of bob's attacks on alice fail.
 *
 * @param herServer Whether her server's own port refuses bob's request, or cannot be reached.
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
 * The output of `tests/cluster/hub_mesos.py` if Mesos accepts a user only under the user's own name.
 *
 * @param role The role of the other user's team. @param another A further role that is not the user's.
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
