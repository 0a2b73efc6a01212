import { describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster } from "../../cluster/types.ts";
import { ARCHITECTURES } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { renderPicture } from "../../render/picture.ts";
import { CLOUD, HIGHLY_AVAILABLE } from "../fixtures/configs.ts";

const inCloud = (raw: RawConfig): Cluster => describeCluster(validate({ ...CLOUD, ...raw }, "test"));
const matches = (picture: string, pattern: RegExp): string[] => [...picture.matchAll(pattern)].map((m) => m[1] ?? "");

describe.each(ARCHITECTURES)("the picture of %s", (architecture) => {
  const cluster = inCloud({ architecture, ...HIGHLY_AVAILABLE });
  const picture = renderPicture(cluster);
  const boxes = matches(picture, /^ +([a-z-]+)\[/gm);
  const groups = matches(picture, /^ {2}subgraph ([a-z]+)\[/gm);

  test("has every group, and every service once, however many machines there are", () => {
    expect(groups.sort()).toEqual([...new Set(cluster.machines.map((m) => m.group))].sort());
    const groupOf = new Map(cluster.machines.map((m) => [m.name, m.group]));
    const services = new Set(cluster.services.map((s) => `${groupOf.get(s.machine)}-${s.name}`));
    expect(boxes.filter((box) => !box.endsWith("-machine")).sort()).toEqual([...services].sort());
  });

  test("has an arrow for every rule of the firewall between machines, and no other", () => {
    const drawn = new Set<string>();
    for (const [, from, ports = "", to = ""] of picture.matchAll(/^ {2}([a-z]+) -->\|"([^"]+)"\| ([a-z-]+)$/gm)) {
      const group = groups.find((name) => to === name || to.startsWith(`${name}-`));
      for (const port of ports.split(", ")) drawn.add(`${from} ${group} ${port}`);
    }
    const rules = cluster.firewall.filter((r) => r.protocol === "tcp" && (r.what !== "ssh" || r.fromCidr));
    const ofServices = rules.map(({ fromGroup, group, first, last }) => {
      const ports = first === last ? `${first}` : `${first}-${last}`;
      return `${fromGroup ?? "people"} ${group} ${ports}`;
    });
    expect([...drawn].sort()).toEqual([...new Set(ofServices)].sort());
  });
});

test("more machines draw no more", () => {
  const lines = (agentCount: number): number => renderPicture(inCloud({ agentCount })).split("\n").length;
  expect(lines(1000)).toBe(lines(2));
});

test("on this machine's Docker there is no SSH", () => {
  expect(renderPicture(describeCluster(validate({ platform: "docker" }, "test")))).not.toContain("people");
});
