import { expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { shareClients } from "../../cluster/share.ts";
import { SHARED_FOLDER } from "../../cluster/shared-storage.ts";
import { ARCHITECTURES } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { CLOUD, mesosOf } from "../fixtures/configs.ts";

const manila = (raw: RawConfig = {}) => validate({ ...CLOUD, sharedStorage: "manila", ...raw }, "lab");

test.each<[RawConfig, string[]]>([
  [{ agentCount: 1 }, ["10.72.0.64/26"]],
  [{ agentCount: 64 }, ["10.72.0.64/26"]],
  [{ agentCount: 65 }, ["10.72.0.64/26", "10.72.0.128/25"]],
  // Rules for as many agents as `triplewide scale` may make, because it changes only agents.
  [{ agentCount: 3, agentsMin: 1, agentsMax: 100 }, ["10.72.0.64/26", "10.72.0.128/25"]],
  [{ agentCount: 1000 }, ["10.72.0.64/26", "10.72.0.128/25", "10.72.1.0/24", "10.72.2.0/23", "10.72.4.0/22"]],
  [
    { agentCount: 3, agentGroups: { gpu: { count: 100, addressBlock: 3 } } },
    ["10.72.0.64/26", "10.72.136.0/26", "10.72.136.64/26"],
  ],
  [
    { agentCount: 3, networkCidr: "10.9.0.0/24", agentGroups: { gpu: { count: 2, addressBlock: 3 } } },
    ["10.9.0.64/26", "10.9.0.136/30"],
  ],
])("with %j the share lets in the client and the agents' blocks of addresses: %j", (raw, blocks) => {
  const config = manila(raw);
  const [client, ...agents] = shareClients(config);
  expect(client).toBe(config.networkCidr.replace(/0\/\d+$/, "11/32"));
  expect(agents).toEqual(blocks);
});

test("no other machine is in a block of the agents, and every agent is", () => {
  const more = {
    agentCount: 900,
    masterCount: 3,
    datanodeCount: 200,
    agentGroups: { a: { count: 64 }, b: { count: 9 } },
  };
  const numberOf = (address: string) => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const config = manila(more);
  const ranges = shareClients(config).map((cidr) => {
    const [address = "", bits = ""] = cidr.split("/");
    const first = numberOf(address);
    const size = 2 ** (32 - Number(bits));
    // The cloud refuses a network that does not begin at a multiple of its size.
    expect(first % size, cidr).toBe(0);
    return [first, first + size] as const;
  });
  for (const { name, group, address } of describeCluster(config).machines) {
    const number = numberOf(address);
    const inside = ranges.some(([first, end]) => number >= first && number < end);
    expect(inside, name).toBe(group === "agent" || group === "client");
  }
});

test.each(ARCHITECTURES)(
  "with a share the client serves nothing, and has the folder as agents have it: %s",
  (architecture) => {
    const { services, firewall } = describeCluster(manila({ architecture, ...mesosOf(architecture) }));
    expect(services.some(({ name }) => name === "shared-storage")).toBe(false);
    expect(firewall.filter(({ first }) => first === 2049)).toEqual([]);
    for (const name of ["jupyter", "metastore"]) {
      const dirs = services.find((s) => s.name === name)?.dirs.filter(({ path }) => path === SHARED_FOLDER);
      expect(dirs, name).toEqual([{ path: SHARED_FOLDER, lasts: "data", shared: "cluster" }]);
    }
  },
);
