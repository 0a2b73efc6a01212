import { execFileSync, spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { runProgram } from "../../cli/program.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import { certificateOf } from "../../cluster/services/gateway/authority.ts";
import { authorityOf, gatewayOrigin } from "../../cluster/services/gateway/tls.ts";
import type { Cluster } from "../../cluster/types.ts";
import { fill } from "../../cluster/values.ts";
import { pages, pageUrl } from "../../components/access.ts";
import type { RawConfig } from "../../config/validate.ts";
import { publishedLinks } from "../../render/compose.ts";
import { CLOUD } from "../fixtures/configs.ts";
import { problems } from "../fixtures/problems.ts";

const inCloud = (raw: RawConfig): Cluster => describeCluster(validate({ ...CLOUD, ...raw }, "test"));
const local = (raw: RawConfig): Cluster => describeCluster(validate({ platform: "docker", ...raw }, "test"));
const gatewayOf = ({ services }: Cluster) => services.find(({ name }) => name === "gateway");
const SEED = "a".repeat(32);
/** Caddy's configuration and its files, as they are on the client. */
const filesOf = (cluster: Cluster) => JSON.stringify(fill(gatewayOf(cluster)?.files, () => SEED));

const dir = mkdtempSync(join(tmpdir(), "triplewide-tls-"));
afterAll(() => rmSync(dir, { recursive: true }));

describe("the cluster's own authority", () => {
  const pem = certificateOf(SEED, "lab", "spark.example.org,localhost,198.51.100.7");

  test("is the same in every run, and another one by another secret or for other names", () => {
    expect(certificateOf(SEED, "lab", "spark.example.org,localhost,198.51.100.7")).toBe(pem);
    const others = [certificateOf("b".repeat(32), "lab", "localhost"), certificateOf(SEED, "lab", "localhost")];
    const numbers = [pem, ...others].map((one) => new X509Certificate(one).serialNumber);
    expect(new Set(numbers).size).toBe(3);
  });

  test("signs itself, and is good for as long as a cluster", () => {
    const certificate = new X509Certificate(pem);
    expect(certificate.ca).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.subject).toBe("CN=triplewide lab");
    expect(Date.parse(certificate.validFrom)).toBeLessThan(Date.parse("2026-01-01"));
    expect(Date.parse(certificate.validTo)).toBeGreaterThan(Date.parse("2049-12-30"));
  });

  // What a browser does with an authority that somebody has put into it.
  test.each([
    ["DNS:spark.example.org", true],
    ["DNS:localhost,IP:198.51.100.7", true],
    ["DNS:bank.example.com", false],
    ["DNS:spark.example.org,DNS:bank.example.com", false],
    ["IP:198.51.100.8", false],
  ])("vouches for its cluster and nobody else: %s, %s", (names, good) => {
    const files = filesOf(local({ tls: "own", domain: "spark.example.org" }));
    const { content } = JSON.parse(files).find(({ path }: { path: string }) => path.endsWith(".key"));
    const file = (name: string, text?: string): string => {
      const path = join(dir, name);
      if (text !== undefined) writeFileSync(path, text);
      return path;
    };
    const [ca, caKey] = [file("ca.pem", pem), file("ca.key", content.text)];
    const [key, request, leaf] = [file("key"), file("request"), file("leaf")];
    const run = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
    run(
      "req",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      key,
      "-out",
      request,
      "-subj",
      "/O=x",
    );
    const more = file("extensions", `subjectAltName=${names}\n`);
    run("x509", "-req", "-in", request, "-CA", ca, "-CAkey", caKey, "-out", leaf, "-extfile", more, "-set_serial", "7");
    const { status, stderr } = spawnSync("openssl", ["verify", "-CAfile", ca, leaf], { encoding: "utf8" });
    expect(status === 0, stderr).toBe(good);
    if (!good) expect(stderr).toContain("permitted subtree violation");
  });
});

describe("tls: own", () => {
  test.each<[string, RawConfig, string[], string]>([
    ["on a laptop", {}, ["localhost", "127.0.0.1"], "https://127.0.0.1:8090"],
    ["for other machines", { bindAddress: "192.168.1.7" }, ["localhost", "192.168.1.7"], "https://192.168.1.7:8090"],
    [
      "by a name",
      { bindAddress: "0.0.0.0", domain: "spark.example.org" },
      ["spark.example.org", "localhost", "127.0.0.1"],
      "https://spark.example.org:8090",
    ],
    [
      "by an address of a router",
      { bindAddress: "0.0.0.0", domain: "198.51.100.7" },
      ["198.51.100.7", "localhost"],
      "https://198.51.100.7:8090",
    ],
  ])("%s has certificates for what people type", (_, raw, names, origin) => {
    const cluster = local({ tls: "own", ...raw });
    expect(gatewayOrigin(cluster.config)).toBe(origin);
    const files = filesOf(cluster);
    expect(files).toContain(`"automate":${JSON.stringify(names)}`);
    expect(files).toContain(`"default_sni":"${names.findLast((name) => /^[\d.]+$/.test(name))}"`);
    expect(files).toContain("; Secure");
  });

  test("lets other machines reach the gateway alone; the rest is published for this machine", () => {
    const open = { sparkConnect: true, bindAddress: "192.168.1.7", tls: "own" };
    const addresses = (raw: RawConfig) =>
      Object.fromEntries(publishedLinks(local(raw)).map(({ service, address }) => [service, address]));
    const { gateway, ...others } = addresses(open);
    expect(gateway).toBe("192.168.1.7");
    expect(Object.keys(others)).toEqual(expect.arrayContaining(["spark-master", "spark-connect", "jupyter"]));
    expect(new Set(Object.values(others))).toEqual(new Set(["127.0.0.1"]));
    expect(new Set(Object.values(addresses({ ...open, openToNetwork: true })))).toEqual(new Set(["192.168.1.7"]));
  });

  test("on OpenStack is for who comes through the tunnel, or is in the network already", () => {
    const url = (cluster: Cluster) =>
      pages(cluster)
        .filter(({ name }) => name === "gateway")
        .map((page) => pageUrl(cluster, page))[0];
    expect(url(inCloud({ tls: "own" }))).toBe("https://localhost:8090");
    const inside = { tls: "own", bastion: false, existingNetworkId: "n", existingSubnetId: "s" };
    expect(url(inCloud(inside))).toBe("https://10.72.0.11:8090");
    expect(url(inCloud({ ...inside, domain: "spark.example.org" }))).toBe("https://spark.example.org:8090");
    expect(filesOf(inCloud(inside))).toContain('"default_sni":"10.72.0.11"');
  });

  test("leaves the authority's secret with the client, and changes with nothing that comes and goes", () => {
    const cluster = inCloud({ tls: "own" });
    expect(cluster.secrets.find(({ name }) => name === "gateway-authority")?.groups).toEqual(["client"]);
    expect(gatewayOf(inCloud({ tls: "own", agentCount: 9 }))).toEqual(gatewayOf(cluster));
    const shown = authorityOf(cluster);
    expect(filesOf(cluster)).toContain(JSON.stringify(shown && fill(shown, () => SEED)));
    // A plan for people shows what it is made of by its name.
    expect(shown && fill(shown, ({ name }) => `{{secret:${name}}}`)).toBe("{{secret:gateway-authority}}");
  });
});

test("without tls the gateway speaks plain HTTP, and has no authority", () => {
  const files = filesOf(local({}));
  for (const word of ["tls", "pki", "Secure", "PRIVATE"]) expect(files).not.toContain(word);
  expect(authorityOf(local({}))).toBeUndefined();
});

test.each<[RawConfig, string[]]>([
  [{ bindAddress: "192.168.1.7" }, ["bindAddress"]],
  [{ bindAddress: "192.168.1.7", tls: "own" }, []],
  [{ bindAddress: "0.0.0.0", tls: "own" }, ["domain"]],
  [{ bindAddress: "0.0.0.0", tls: "own", domain: "spark.example.org" }, []],
  [{ tls: "own", gateway: false }, ["tls"]],
  [{ domain: "spark.example.org" }, ["domain"]],
  [{ tls: "own", domain: "https://spark.example.org" }, ["domain"]],
  [{ tls: "own", domain: "Spark.example.org" }, ["domain"]],
  [{ tls: "own", domain: "*.example.org" }, ["domain"]],
  [{ tls: "own", domain: "a,DNS:evil.example" }, ["domain"]],
  [{ tls: "own", domain: "300.1.1.1" }, ["domain"]],
  [{ tls: "yes" }, ["tls"]],
])("%j is refused at %j", (raw, keys) => {
  expect(problems({ platform: "docker", ...raw }).map(({ key }) => key)).toEqual(keys);
});

test("a certificate is asked for in vain where there is none", async () => {
  let said = "";
  const err = (text: string): void => {
    said += text;
  };
  const output = { out: err, err };
  expect(await runProgram(["certificate", "--env", "local"], output)).toBe(2);
  expect(said).toContain('environment "local" has no authority of its own: tls is none. Fix: set tls to own');
});
