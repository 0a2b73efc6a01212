import { execFileSync, spawnSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { examine } from "../../cli/doctor.ts";
import { runProgram } from "../../cli/program.ts";
import { checkToday, describeCluster, validate } from "../../cluster/load.ts";
import { problemsOfToday } from "../../cluster/rules.ts";
import { certificateOf } from "../../cluster/services/gateway/authority.ts";
import { gatewayOrigin } from "../../cluster/services/gateway/entrance.ts";
import { authorityOf } from "../../cluster/services/gateway/tls.ts";
import type { Cluster } from "../../cluster/types.ts";
import { fill, secretsIn } from "../../cluster/values.ts";
import { pages, pageUrl } from "../../components/access.ts";
import { ConfigError } from "../../config/problems.ts";
import type { RawConfig } from "../../config/validate.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";
import { publishedLinks, renderCompose } from "../../render/compose.ts";
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

  // Whether a browser that trusts the authority accepts a certificate of it for these names.
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
    expect(gatewayOrigin(cluster.config, "")).toBe(origin);
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
        .map((page) => pageUrl(cluster, page, "198.51.100.9"))[0];
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
    // A plan shows the name of the secret that the authority is made from, and not its value.
    expect(shown && fill(shown, ({ name }) => `{{secret:${name}}}`)).toBe("{{secret:gateway-authority}}");
  });
});

/** A certificate as from a public authority, with its key. */
function made(name: string, names: string): { certificate: string; key: string } {
  const path = (end: string) => join(dir, `${name}.${end}`);
  const more = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=${names}`, "-days", "100"];
  const files = ["-keyout", path("key"), "-out", path("pem")];
  const options = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", ...files, ...more];
  execFileSync("openssl", options, { stdio: "pipe" });
  return { certificate: path("pem"), key: inBase64(path("key")) };
}

/** A key in base64, as docs/CONFIG.md describes. */
const inBase64 = (file: string): string =>
  execFileSync("sh", ["-c", "sed '/^-/d' \"$1\" | tr -d '\\n'", "sh", file], { encoding: "utf8" });

describe("tls: files", () => {
  let one: ReturnType<typeof made>;
  let other: ReturnType<typeof made>;
  const raw = (more: RawConfig = {}): RawConfig => ({
    platform: "docker",
    tls: "files",
    domain: "spark.example.org",
    tlsCertificate: one.certificate,
    tlsKey: one.key,
    ...more,
  });
  const refused = (more: RawConfig) => problems(raw(more)).map(({ key, rule }) => `${key}: ${rule}`);

  beforeAll(() => {
    one = made("one", "DNS:spark.example.org,DNS:*.lab.example.org");
    other = made("other", "DNS:other.example.org,IP:198.51.100.7");
  });

  test("gives the gateway the certificate and its key, which the client alone holds", () => {
    const cluster = describeCluster(validate(raw(), "test"));
    const files = JSON.stringify(fill(gatewayOf(cluster)?.files, () => one.key));
    expect(files).toContain('"default_sni":"spark.example.org"');
    expect(files).toContain('"Strict-Transport-Security":["max-age=31536000"]');
    const text = (end: string) =>
      JSON.parse(files).find(({ path }: { path: string }) => path.endsWith(end)).content.text as string;
    const certificate = new X509Certificate(text("tls.crt"));
    expect(certificate.checkPrivateKey(createPrivateKey(text("tls.key")))).toBe(true);
    expect(secretsIn(gatewayOf(cluster)?.files)).toContain("tls-key");
    expect(cluster.secrets.find(({ name }) => name === "tls-key")?.groups).toEqual(["client"]);
    expect(authorityOf(cluster)).toBeUndefined();
    expect(gatewayOrigin(cluster.config, "")).toBe("https://spark.example.org:8090");
  });

  test("takes keys in each form that PEM files have, and a name that a star stands for", () => {
    expect(refused({ domain: "a.lab.example.org" })).toEqual([]);
    const [pkcs8, sec1] = [join(dir, "one.key"), join(dir, "one.sec1")];
    execFileSync("openssl", ["ec", "-in", pkcs8, "-out", sec1], { stdio: "pipe" });
    expect(refused({ tlsKey: inBase64(sec1) })).toEqual([]);
  });

  test.each<[string, () => RawConfig, RegExp]>([
    ["is not there", () => ({ tlsCertificate: "no/such.pem" }), /^tlsCertificate: a file that can be read$/],
    ["is no certificate", () => ({ tlsCertificate: "README.md" }), /^tlsCertificate: certificates in PEM$/],
    [
      "is for another name",
      () => ({ domain: "a.example.org" }),
      /^tlsCertificate: for domain \(a\.example\.org\); it is for spark\.example\.org, \*\.lab\.example\.org$/,
    ],
    ["has another key", () => ({ tlsKey: other.key }), /^tlsKey: the key of the first certificate in tlsCertificate$/],
    ["has a key that is none", () => ({ tlsKey: "aGVsbG8=" }), /^tlsKey: a private key in base64$/],
    ["has no key", () => ({ tlsKey: "" }), /^tlsKey: set while tls is files$/],
    ["has no name", () => ({ domain: "" }), /^domain: set while tls is files/],
    [
      "is followed by a stranger's",
      () => ({ tlsCertificate: both() }),
      /^tlsCertificate: a chain in which each certificate is issued by the one that follows \(number 1 is not\)$/,
    ],
  ])("says in one message that a certificate %s", (_, more, message) => {
    const found = refused(more());
    expect(found).toEqual([expect.stringMatching(message)]);
    for (const secret of [one.key, other.key]) expect(JSON.stringify(problems(raw(more())))).not.toContain(secret);
  });

  const both = (): string => {
    const path = join(dir, "both.pem");
    writeFileSync(path, readFileSync(one.certificate, "utf8") + readFileSync(other.certificate, "utf8"));
    return path;
  };

  test.each([
    ["2099-01-01", /^tlsCertificate: valid today \(it ended on \d{4}-\d\d-\d\d\)$/],
    ["2001-01-01", /^tlsCertificate: valid today \(it begins on \d{4}-\d\d-\d\d\)$/],
  ])("says in one message, on %s, that it does not hold", (day, message) => {
    vi.useFakeTimers({ now: new Date(day), toFake: ["Date"] });
    try {
      // Commands that show or remove a cluster work with an expired certificate.
      expect(refused({})).toEqual([]);
      const config = validate(raw(), "test");
      const said = problemsOfToday(config, readCheckout()).map(({ key, rule }) => `${key}: ${rule}`);
      expect(said).toEqual([expect.stringMatching(message)]);
      expect(() => checkToday(config, "test")).toThrow(ConfigError);
    } finally {
      vi.useRealTimers();
    }
  });

  test.each([
    [50, []],
    [90, [["warning", expect.stringMatching(/^it ends on \d{4}-\d\d-\d\d$/)]]],
    [110, [["problem", expect.stringContaining("valid today (it ended on")]]],
  ])("is looked at by doctor: after %d of its 100 days", async (days, expected) => {
    vi.useFakeTimers({ now: Date.now() + days * 86_400_000, toFake: ["Date"] });
    try {
      const { platform: _, ...set } = raw();
      const checks = await examine(
        ROOT,
        "local",
        Object.entries(set).map(([key, value]) => `${key}=${value}`),
      );
      const found = checks.filter(({ what }) => what === "tlsCertificate");
      expect(found.map((check) => [check.state, check.found])).toEqual(expected);
    } finally {
      vi.useRealTimers();
    }
  });

  test("does not know whether a key fits that it cannot decrypt", () => {
    expect(refused({ platform: "openstack", ...CLOUD, userCidrs: ["198.51.100.0/24"], tlsKey: "(secret)" })).toEqual(
      [],
    );
  });
});

describe("tls: acme", () => {
  const raw = { tls: "acme", domain: "spark.example.org" };

  test("asks Let's Encrypt by port 80, and keeps what it gets", () => {
    const cluster = local({ ...raw, acmeEmail: "me@example.org" });
    const files = filesOf(cluster);
    expect(files).toContain('"ca":"https://acme-v02.api.letsencrypt.org/directory","email":"me@example.org"');
    expect(files).toContain('"automate":["spark.example.org"]');
    expect(files).toContain('"Location":["https://spark.example.org:8090{http.request.uri}"]');
    expect(gatewayOf(cluster)?.dirs).toEqual([{ path: "/home/gateway", lasts: "data" }]);
    expect(publishedLinks(cluster)).toContainEqual(
      expect.objectContaining({ name: "acme", port: 80, key: "acmePort" }),
    );
    const { compose } = renderCompose({ cluster, imageOf: (name) => name, secretOf: () => SEED });
    expect(compose).toContain("127.0.0.1:80:8091");
  });

  test("asks another server, whose own certificate is nobody's whom the public trusts", () => {
    const trustedCertificates = ["MIIBtjCCAVugAwIBAgIQ"];
    const files = filesOf(local({ ...raw, acmeDirectory: "https://ca.example.org/dir", trustedCertificates }));
    expect(files).toContain('"ca":"https://ca.example.org/dir"');
    expect(files).toContain(
      '"trusted_roots_pem_files":["/etc/ssl/certs/ca-certificates.crt","/etc/gateway/trusted.crt"]',
    );
    expect(files).toContain("MIIBtjCCAVugAwIBAgIQ");
  });
});

describe("userCidrs", () => {
  const raw = { tls: "own", userCidrs: ["198.51.100.0/24", "198.51.101.0/24"] };
  const opened = (cluster: Cluster) =>
    cluster.firewall
      .filter(({ fromCidr, first }) => fromCidr !== undefined && first !== 22)
      .map(({ group, first, last, fromCidr }) => `${group} ${first}-${last} ${fromCidr}`);

  test("opens two ports of the bastion to those networks, and nothing to anyone else", () => {
    const cluster = inCloud(raw);
    expect(opened(cluster)).toEqual([
      "bastion 443-443 198.51.100.0/24",
      "bastion 443-443 198.51.101.0/24",
      "bastion 80-80 198.51.100.0/24",
      "bastion 80-80 198.51.101.0/24",
    ]);
    const ssh = cluster.firewall
      .filter(({ first }) => first === 22)
      .map(({ fromCidr, fromGroup }) => fromCidr ?? fromGroup);
    expect(new Set(ssh)).toEqual(new Set(["198.51.100.7/32", "bastion"]));
    const forward = cluster.services.find(({ machine }) => machine === "bastion");
    // The bastion forwards connections unchanged: it has no key, no password and no page of its own.
    expect(secretsIn(forward)).toEqual([]);
    expect(JSON.stringify(forward?.files)).toContain("listen http\\n  bind :80\\n  server client 10.72.0.11:8090");
    expect(opened(inCloud({ tls: "own" }))).toEqual([]);
    expect(inCloud({ tls: "own" }).services.filter(({ machine }) => machine === "bastion")).toEqual([]);
  });

  test("lets the ACME server in by port 80, where nothing else answers", () => {
    const cluster = inCloud({ ...raw, tls: "acme", domain: "spark.example.org" });
    expect(opened(cluster).filter((rule) => rule.includes("80-80"))).toEqual(["bastion 80-80 0.0.0.0/0"]);
    expect(opened(cluster).filter((rule) => rule.includes("443"))).toHaveLength(2);
    const forward = cluster.services.find(({ machine }) => machine === "bastion");
    expect(JSON.stringify(forward?.files)).toContain("listen http\\n  bind :80\\n  server client 10.72.0.11:8091");
    const to = cluster.firewall.filter(({ group, first }) => group === "client" && (first === 8090 || first === 8091));
    expect(to.map(({ fromGroup }) => fromGroup)).toEqual(["bastion", "bastion"]);
  });

  test("has people open a name, or the bastion's public address, which is in the certificate", () => {
    const url = (more: RawConfig) => {
      const cluster = inCloud({ ...raw, ...more });
      const page = pages(cluster).find(({ name }) => name === "gateway");
      return page && pageUrl(cluster, page, "198.51.100.9");
    };
    expect(url({})).toBe("https://198.51.100.9");
    expect(url({ domain: "spark.example.org" })).toBe("https://spark.example.org");
    const lookUp = ({ kind }: { kind: string }) => (kind === "cloud" ? "198.51.100.9" : SEED);
    const cluster = inCloud(raw);
    const files = JSON.stringify(fill(gatewayOf(cluster)?.files, lookUp));
    expect(files).toContain('"automate":["localhost","198.51.100.9"]');
    expect(files).toContain('"default_sni":"198.51.100.9"');
    const authority = authorityOf(cluster);
    expect(authority && fill(authority, lookUp)).toBe(certificateOf(SEED, "test", "localhost,198.51.100.9"));
  });

  const world = ["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"];
  test.each<[RawConfig, string[]]>([
    [{ tls: "none" }, ["userCidrs"]],
    [{ gateway: false, tls: "none" }, ["userCidrs", "userCidrs"]],
    [{ bastion: false, existingNetworkId: "n", existingSubnetId: "s" }, ["userCidrs"]],
    [{ userCidrs: ["10.72.3.0/24"] }, ["userCidrs"]],
    [{ userCidrs: ["0.0.0.0/0"] }, ["userCidrs"]],
    [{ userCidrs: world, networkCidr: "10.72.0.0/16" }, ["userCidrs"]],
    [{ userCidrs: ["0.0.0.0/0"], openToNetwork: true }, []],
    [{ userCidrs: [], tls: "acme", domain: "spark.example.org" }, ["userCidrs"]],
    [{ domain: "spark.example.org", dnsZone: "example.org" }, []],
    [{ domain: "example.org", dnsZone: "example.org" }, []],
    [{ domain: "spark.badexample.org", dnsZone: "example.org" }, ["dnsZone"]],
    [{ domain: "198.51.100.7", dnsZone: "example.org" }, ["dnsZone"]],
    [{ dnsZone: "example.org" }, ["dnsZone"]],
    [{ userCidrs: [], domain: "spark.example.org", dnsZone: "example.org" }, ["dnsZone"]],
    [
      {
        userCidrs: [],
        tls: "acme",
        domain: "spark.example.org",
        bastion: false,
        existingNetworkId: "n",
        existingSubnetId: "s",
      },
      ["tls"],
    ],
  ])("with %j is refused at %j", (more, keys) => {
    expect(problems({ ...CLOUD, ...raw, ...more }).map(({ key }) => key)).toEqual(keys);
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
  [{ tls: "acme" }, ["domain"]],
  [{ tls: "acme", domain: "198.51.100.7" }, ["domain"]],
  [{ tls: "acme", domain: "localhost" }, ["domain"]],
  [{ tls: "acme", domain: "a.example.org", acmeDirectory: "http://ca.example.org/dir" }, ["acmeDirectory"]],
  [{ tls: "acme", domain: "a.example.org", acmeEmail: "me" }, ["acmeEmail"]],
  [{ acmeEmail: "me@example.org" }, ["acmeEmail"]],
  [{ tls: "own", tlsKey: "x", tlsCertificate: "README.md" }, ["tlsCertificate", "tlsKey"]],
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
