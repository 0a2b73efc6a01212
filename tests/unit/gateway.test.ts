import { describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster } from "../../cluster/types.ts";
import { secretsIn } from "../../cluster/values.ts";
import { ARCHITECTURES } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { publishedLinks } from "../../render/compose.ts";
import { CLOUD, HIGHLY_AVAILABLE } from "../fixtures/configs.ts";

const inCloud = (raw: RawConfig): Cluster => describeCluster(validate({ ...CLOUD, ...raw }, "test"));
const local = (raw: RawConfig): Cluster => describeCluster(validate({ platform: "docker", ...raw }, "test"));
const gatewayOf = ({ services }: Cluster) => services.find(({ name }) => name === "gateway");

/** Pages that ask for no login of their own. */
const open = ({ services }: Cluster) =>
  services.flatMap(({ name, ports }) =>
    ports.filter(({ link, login, page }) => (link === "http" || page) && !login).map((port) => ({ name, port })),
  );

describe.each(ARCHITECTURES)("the gateway of %s", (architecture) => {
  const raw = { architecture, ...HIGHLY_AVAILABLE, historyServer: true };

  test("is the only way for people to a page without a login: no rule, no published port leads there", () => {
    const cluster = inCloud(raw);
    const groups = new Map(cluster.machines.map(({ name, group }) => [name, group]));
    const forPeople = cluster.firewall.filter((rule) => rule.fromGroup === "bastion" || rule.fromCidr);
    expect(open(cluster).length).toBeGreaterThan(2);
    for (const service of cluster.services) {
      for (const port of service.ports.filter((one) => open(cluster).some(({ port: other }) => other === one))) {
        const around = forPeople.filter(
          ({ group, first, last }) => group === groups.get(service.machine) && first <= port.port && port.port <= last,
        );
        expect(around, `${service.name} ${port.name}`).toEqual([]);
      }
    }
    const docker = local({ architecture, ...HIGHLY_AVAILABLE, historyServer: true });
    const shut = new Set(open(docker).map(({ port }) => port.port));
    expect(publishedLinks(docker).filter(({ port, kind }) => kind === "http" && shut.has(port))).toEqual([]);
    expect(publishedLinks(docker).map(({ service }) => service)).toContain("gateway");
  });

  test("takes nobody who comes from the bastion by plain HTTP: people's tunnel ends at the client", () => {
    const toClient = (more: RawConfig) =>
      inCloud({ ...raw, ...more })
        .firewall.filter(({ group, fromGroup }) => group === "client" && fromGroup === "bastion")
        .map(({ first, last }) => [first, last]);
    expect(toClient({})).toEqual([[22, 22]]);
    const byAddress = { tls: "own", userCidrs: ["198.51.100.0/24"] };
    expect(toClient(byAddress)).toEqual([
      [22, 22],
      [8090, 8090],
    ]);
  });

  test("alone holds what it logs in to pages with, and nobody's rights but to look", () => {
    const { secrets } = inCloud(raw);
    for (const name of ["gateway-password", "gateway-session"])
      expect(secrets.find((secret) => secret.name === name)?.groups).toEqual(["client"]);
    const held = new Set(secretsIn(gatewayOf(inCloud(raw))?.files));
    expect([...held].filter((name) => /admin|agent|spark-auth|zookeeper|mesos-spark/.test(name))).toEqual([]);
  });

  test("stays as it is when there is one agent more", () => {
    expect(gatewayOf(inCloud({ ...raw, agentCount: 9 }))).toEqual(gatewayOf(inCloud({ ...raw, agentCount: 8 })));
  });

  test("is not there where nobody wants it, and pages are where they were", () => {
    const cluster = local({ architecture, gateway: false });
    expect(gatewayOf(cluster)).toBeUndefined();
    expect(cluster.secrets.filter(({ name }) => /gateway|viewer/.test(name))).toEqual([]);
    expect(publishedLinks(cluster).map(({ name }) => name)).toContain("spark-ui");
  });
});

test("of several masters the gateway shows the one that leads", () => {
  const text = JSON.stringify(gatewayOf(inCloud(HIGHLY_AVAILABLE))?.files[0]);
  expect(text).toContain('"expect_body":"\\"status\\" : \\"ALIVE\\""');
});

test("ends no job for another site's link, whatever page shows the driver", () => {
  const caddy = JSON.stringify(gatewayOf(inCloud({})));
  const refused =
    '{"path_regexp":{"pattern":"/(job|stage)s?/kill(/|$)"},"not":[{"header":{"Sec-Fetch-Site":["same-origin"]}}]}';
  expect(caddy).toContain(refused);
  // The refusal comes before any proxied page.
  expect(caddy.indexOf(refused)).toBeLessThan(caddy.indexOf('"reverse_proxy"'));
});

test("knows a path by all ways of writing it that servers behind it know", () => {
  const caddy = JSON.stringify(gatewayOf(inCloud({ datanodeCount: 1 })));
  const [, pattern = ""] = /"\{http\.request\.uri\}":\{"pattern":"([^"]*)"/.exec(caddy) ?? [];
  const refused = new RegExp(JSON.parse(`"${pattern}"`));
  for (const uri of ["/spark/proxy;x/app-1/jobs/", "/jupyter/proxy/4040/jobs/job/%256bill/"])
    expect(uri).toMatch(refused);
  for (const uri of ["/jupyter/lab/tree/100%25.ipynb", "/spark/?a=b;c", "/jupyter/proxy/4040/SQL/?a=%25"])
    expect(uri).not.toMatch(refused);
  // Paths that change something by GET are refused before any proxied page.
  for (const rule of [`"${pattern}"`, '"path":["/hdfs/fsck*","/hdfs/logLevel*"]']) {
    expect(caddy).toContain(rule);
    expect(caddy.indexOf(rule)).toBeLessThan(caddy.indexOf('"reverse_proxy"'));
  }
});

test("sends no page the cookie of any cluster's gateway", () => {
  const [, pattern = ""] =
    /"search_regexp":"([^"]*triplewide[^"]*)"/.exec(JSON.stringify(gatewayOf(inCloud({})))) ?? [];
  const cookies = "triplewide-lab=A; x=1; triplewide-prod=B; y=2";
  expect(cookies.replaceAll(new RegExp(JSON.parse(`"${pattern}"`), "g"), "")).toBe("x=1; y=2");
});

test("without a bastion the config's people reach what asks for a login, and nothing else", () => {
  const { firewall } = inCloud({ bastion: false, existingNetworkId: "n", existingSubnetId: "s", sparkConnect: true });
  const open = firewall.filter(({ fromCidr }) => fromCidr !== undefined);
  expect(new Set(open.map(({ fromCidr }) => fromCidr))).toEqual(new Set(CLOUD.adminCidrs));
  const what = open.filter(({ group, first }) => group === "client" && first !== 22).map((rule) => rule.what);
  expect(what.sort()).toEqual(["gateway pages", "jupyter jupyter", "spark-connect grpc"]);
});
