import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { usedPorts } from "../../cluster/ports.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";
import { isOurs } from "../../marathon/changes.ts";
import { CLOUD, HIGHLY_AVAILABLE } from "../fixtures/configs.ts";

/** The example apps of `docs/apps` must not conflict with the cluster's own apps. */

interface App {
  id: string;
  instances: number;
  acceptedResourceRoles: string[];
  env: Record<string, string>;
  container: { docker: { image: string } };
  portDefinitions: { port: number }[];
  requirePorts?: boolean;
  constraints: string[][];
  upgradeStrategy: { minimumHealthCapacity: number; maximumOverCapacity: number };
}

const folder = join(ROOT, "docs", "apps");
const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
const readme = readFileSync(join(folder, "README.md"), "utf8");
const raw = {
  ...CLOUD,
  ...HIGHLY_AVAILABLE,
  architecture: "marathon-standalone",
  agentCount: 4,
  dynamicAllocation: true,
  historyServer: true,
};
const cluster = describeCluster(validate(raw, "test"));
const agents = cluster.machines.filter((m) => m.group === "agent").map((m) => m.address);

test("there are examples, and the document names each", () => {
  expect(files.length).toBeGreaterThanOrEqual(2);
  for (const file of files) expect(readme).toContain(`(${file})`);
});

describe.each(files)("%s", (file) => {
  const text = readFileSync(join(folder, file), "utf8");
  const app = JSON.parse(text) as App;
  const ports = app.portDefinitions.map(({ port }) => port);

  test("is outside of the groups that an update touches", () => {
    expect(isOurs(app.id)).toBe(false);
    expect(app.id).toMatch(/^\/[a-z]/);
  });

  test("has ports of its own, which agents offer to everyone and the firewall lets through", () => {
    for (const port of ports) {
      for (const used of usedPorts(cluster.config, readCheckout().script))
        expect(port < used.first || port > used.last, used.key).toBe(true);
      const rules = cluster.firewall.filter((r) => r.group === "agent" && r.first <= port && port <= r.last);
      expect(rules.map((r) => r.fromGroup).sort()).toEqual(["agent", "client"]);
    }
    const resources = String(cluster.services.find((s) => s.name === "mesos-agent")?.env.MESOS_resources);
    const [, first, last] = /(?:^|;)ports:\[(\d+)-(\d+)\]/.exec(resources) ?? [];
    for (const port of ports) expect(Number(first) <= port && port <= Number(last)).toBe(true);
    expect(app.acceptedResourceRoles).toEqual(["*"]);
    expect(app.requirePorts ?? false).toBe(ports.length > 0);
  });

  test("is once on a machine, on agents that there are, and can be upgraded without a free one", () => {
    expect(app.constraints).toContainEqual(["hostname", "UNIQUE"]);
    const [, , pattern = ".*"] = app.constraints.find(([, operator]) => operator === "LIKE") ?? [];
    const places = agents.filter((address) => new RegExp(`^(${pattern})$`).test(address));
    expect(places.length).toBeGreaterThanOrEqual(app.instances);
    expect(app.upgradeStrategy.maximumOverCapacity).toBe(0);
    expect(Math.ceil(app.instances * app.upgradeStrategy.minimumHealthCapacity)).toBeLessThan(app.instances);
  });

  test("names addresses that machines have", () => {
    const known = cluster.machines.map((m) => m.address);
    for (const [address] of text.matchAll(/\b10\.72\.\d+\.\d+\b/g)) expect(known).toContain(address);
  });

  test("holds no secret, and its image is pinned by a tag", () => {
    expect(Object.keys(app.env).filter((name) => /PASSWORD|SECRET|TOKEN|KEY/.test(name))).toEqual([]);
    expect(app.container.docker.image).toMatch(/:\d+(\.\d+)+(@sha256:[0-9a-f]{64})?$/);
    expect(readme).toContain("@sha256:");
  });
});
