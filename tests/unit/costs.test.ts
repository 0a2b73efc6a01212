import { describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster } from "../../cluster/types.ts";
import type { RawConfig } from "../../config/validate.ts";
import { pinnedVersions } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";
import { planDocument, planText } from "../../render/plan.ts";
import { CLOUD } from "../fixtures/configs.ts";

const clusterOf = (raw: RawConfig): Cluster => describeCluster(validate({ ...CLOUD, ...raw }, "test"));
const versions = pinnedVersions(ROOT);
const prices = { "m1.medium": 0.05, "m1.large": 0.1, volumeGb: 0.0001, floatingIp: 0.005 };
const textOf = (raw: RawConfig): string => planText(clusterOf(raw), versions, "test", false);

/** The data of the gateway's first page. */
function shown(raw: RawConfig): unknown {
  const gateway = clusterOf(raw).services.find(({ name }) => name === "gateway");
  const content = gateway?.files.find(({ path }) => path.endsWith("/cluster.json"))?.content;
  return content?.format === "json" ? (content.value as { cost?: string }).cost : undefined;
}

describe("what a cluster costs", () => {
  test("by the day: machines, volumes and the address", () => {
    const cluster = clusterOf({ prices, agentCount: 4 });
    const machines = cluster.machines.map(({ flavor }) => (flavor === "m1.large" ? 0.1 : 0.05));
    const hour = machines.reduce((sum, price) => sum + price, 0) + cluster.quota.gigabytes * 0.0001 + 0.005;
    expect(planDocument(cluster, versions).costByDay?.amount).toBeCloseTo(24 * hour, 9);
    expect(planDocument(cluster, versions).costByDay?.currency).toBe("EUR");
    expect(textOf({ prices, agentCount: 4, currency: "SEK" })).toContain(`${(24 * hour).toFixed(2)} SEK`);
  });

  test("where agents come and go, with the fewest of them and with the most", () => {
    const range = { prices, agentCount: 3, agentsMin: 2, agentsMax: 9, agentGroups: { big: { count: 1 } } };
    const cost = (agentCount: number): number =>
      planDocument(clusterOf({ ...range, agentCount }), versions).costByDay?.amount ?? Number.NaN;
    const { agents } = planDocument(clusterOf(range), versions);
    expect(agents).toMatchObject({ min: 2, max: 9, costByDay: { currency: "EUR" } });
    expect(agents?.costByDay?.least).toBeCloseTo(cost(2), 9);
    expect(agents?.costByDay?.most).toBeCloseTo(cost(9), 9);
    const said = textOf({ ...range, hours: { "Mon-Fri 08:00-18:00": 4 }, timeZone: "Europe/Berlin" });
    expect(said).toContain("Agents: 2 to 9, as triplewide scale finds them needed; a first up makes 3\n");
    expect(said).toContain("  at least 4 Mon-Fri 08:00-18:00 (Europe/Berlin)\n");
    expect(said).toContain(
      `: ${cost(2).toFixed(2)} EUR with the fewest agents, ${cost(9).toFixed(2)} EUR with the most\n`,
    );
    // The gateway's page does not depend on the current number of agents.
    expect(shown(range)).toBe(shown({ ...range, agentCount: 9 }));
    expect(textOf({})).not.toContain("triplewide scale");
  });

  test("boot volumes cost as well", () => {
    const amount = (raw: RawConfig): number =>
      planDocument(clusterOf({ prices, ...raw }), versions).costByDay?.amount ?? Number.NaN;
    const cluster = clusterOf({ prices });
    expect(amount({ bootVolumeGb: 50 }) - amount({})).toBeCloseTo(24 * cluster.machines.length * 50 * 0.0001, 9);
  });

  test("a flavor without a price is named", () => {
    expect(textOf({ prices: { "m1.medium": 0.05 } })).toContain("prices lacks m1.large");
    expect(planDocument(clusterOf({ prices: { "m1.medium": 0.05 } }), versions).costByDay).toBeUndefined();
  });

  test("without prices nothing is said", () => {
    expect(textOf({})).not.toMatch(/costs/);
    expect(shown({})).toBeUndefined();
  });

  test("the gateway's page says it for each agent, so that one more changes nothing", () => {
    expect(shown({ prices, agentCount: 4 })).toMatch(/^\d+\.\d\d EUR a day, each agent \d+\.\d\d EUR$/);
    expect(shown({ prices, agentCount: 9 })).toBe(shown({ prices, agentCount: 4 }));
    const agentGroups = { big: { flavor: "m1.large", count: 2 } };
    expect(shown({ prices, agentCount: 1, agentGroups })).toMatch(/each agent of big 2\.40 EUR$/);
  });
});
