import { spawnSync } from "node:child_process";
import { createHash, createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { identityOf, serviceAuthority } from "../../cluster/authority.ts";
import { certificate, type Use } from "../../cluster/certificates.ts";
import { derivedKey } from "../../cluster/derived-keys.ts";
import { SECRET_NAMES } from "../../cluster/secret-names.ts";
import { certificateOf } from "../../cluster/services/gateway/authority.ts";
import { base64, fill, placeholder, secretsFor, secretsIn, type Value } from "../../cluster/values.ts";

const SEED = "s".repeat(32);
const LAB = { clusterName: "lab", networkCidr: "10.72.0.0/24" };
const REGISTRY = { name: "registry", address: "10.72.0.12" };
const dir = mkdtempSync(join(tmpdir(), "triplewide-authority-"));
afterAll(() => rmSync(dir, { recursive: true }));

const made = (value: Value, seed = SEED): string => fill(value, () => seed);
const put = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};

/** OpenSSL's error for a certificate and a purpose; empty if the certificate is valid. */
function refusal(pem: string, use: Use, ...more: string[]): string {
  const ca = put("ca.pem", made(serviceAuthority(LAB)));
  const args = ["verify", "-x509_strict", "-purpose", `ssl${use}`, "-CAfile", ca, ...more, put("leaf.pem", pem)];
  const { status, stderr, stdout } = spawnSync("openssl", args, { encoding: "utf8" });
  return status === 0 ? "" : `${stdout}${stderr}`;
}

describe("the authority of the cluster's services", () => {
  const registry = identityOf(LAB, REGISTRY, "registry", ["server"]);

  test("vouches for a service of a machine, by its address and its name", () => {
    const shown = new X509Certificate(made(registry.certificate));
    expect(shown.subjectAltName).toBe("IP Address:10.72.0.12, DNS:registry.lab.internal");
    expect(shown.checkPrivateKey(createPrivateKey(made(registry.key)))).toBe(true);
    expect(shown.verify(createPublicKey(made(serviceAuthority(LAB))))).toBe(true);
    expect(refusal(made(registry.certificate), "server", "-verify_ip", "10.72.0.12")).toBe("");
    expect(refusal(made(registry.certificate), "server", "-verify_ip", "10.72.0.13")).toContain("IP address mismatch");
    expect(refusal(made(registry.certificate), "client")).toContain("unsuitable certificate purpose");
    const peer = identityOf(LAB, REGISTRY, "libprocess", ["server", "client"]);
    expect([refusal(made(peer.certificate), "server"), refusal(made(peer.certificate), "client")]).toEqual(["", ""]);
  });

  // An attacker who has a cluster's state has its authority's key. The key must not be valid for other sites.
  test.each([
    [["10.72.0.255", "x.lab.internal"], ""],
    [["10.72.1.12"], "permitted subtree violation"],
    [["127.0.0.1"], "permitted subtree violation"],
    [["10.72.0.12", "registry.other.internal"], "permitted subtree violation"],
    [["bank.example.com"], "permitted subtree violation"],
  ])("vouches for nobody outside of the cluster's network: %j", (names, said) => {
    const authority = { key: derivedKey(SEED, "triplewide service authority"), name: "triplewide lab services" };
    const leaf = certificate(authority, { key: derivedKey("k", "k"), name: "a thief" }, names, ["server"]);
    if (said === "") expect(refusal(leaf, "server")).toBe("");
    else expect(refusal(leaf, "server")).toContain(said);
  });

  test("lets nobody vouch for others", () => {
    const owner = {
      key: derivedKey(SEED, "triplewide service key registry registry"),
      name: "registry of lab-registry",
    };
    const leaf = certificate(owner, { key: derivedKey("k", "k"), name: "a thief" }, ["10.72.0.13"], ["server"]);
    const untrusted = put("registry.pem", made(registry.certificate));
    expect(refusal(leaf, "server", "-untrusted", untrusted)).toMatch(/invalid CA certificate|unable to get.*issuer/);
  });

  test("is the same in every run; of another secret, machine or service the key is another", () => {
    const again = identityOf(LAB, REGISTRY, "registry", ["server"]);
    expect(again).toEqual(registry);
    expect(made(again.certificate)).toBe(made(registry.certificate));
    const keys = [
      made(registry.key),
      made(registry.key, "t".repeat(32)),
      made(identityOf(LAB, REGISTRY, "other", ["server"]).key),
      made(identityOf(LAB, { ...REGISTRY, name: "master-1" }, "registry", ["server"]).key),
    ];
    expect(new Set(keys).size).toBe(4);
  });

  test("keeps its secret in the stack: a machine holds what is made of it, and a plan names that", () => {
    const all = [registry.certificate, registry.key, serviceAuthority(LAB)];
    expect(secretsIn(all)).toEqual([]);
    expect(secretsFor(all)).toEqual([SECRET_NAMES.serviceAuthority]);
    expect(all.map((value) => fill(value, placeholder))).toEqual([
      "{{certificate:registry-registry}}",
      "{{key:registry-registry}}",
      "{{certificate:service-authority}}",
    ]);
    // Nor does what is made of them in turn.
    expect(secretsIn(base64(registry.key))).toEqual([]);
    expect(fill(base64(registry.key), placeholder)).toBe("{{key:registry-registry}}");
    for (const value of all) expect(made(value)).not.toContain(SEED);
  });
});

test("the gateway's authority, which people have in their browsers, is the one that it was", () => {
  const pem = certificateOf("a".repeat(32), "lab", "spark.example.org,localhost,198.51.100.7");
  expect(createHash("sha256").update(pem).digest("hex")).toBe(
    "d3a093895723d69acb4f29a03666574a3848574d056b6dd020b5b9ee1854bbf4",
  );
});
