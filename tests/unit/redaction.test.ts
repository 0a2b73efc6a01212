import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { runProgram } from "../../cli/program.ts";
import { describeCluster, loadConfig, validate } from "../../cluster/load.ts";
import { propertiesFor } from "../../cluster/spark-properties.ts";
import { readStackConfig } from "../../components/stack-config.ts";
import { infoOf } from "../../config/fields.ts";
import { ConfigError } from "../../config/problems.ts";
import { redacted, redactedConfig, withoutLogins } from "../../config/redact.ts";
import { type ConfigKey, shape } from "../../config/schema.ts";
import { HIDDEN, SECRET_KEYS } from "../../config/secrets.ts";
import type { RawConfig } from "../../config/validate.ts";
import { ROOT } from "../../lib/root.ts";
import { Findings, PreflightError } from "../../openstack/findings.ts";
import { planDocument, planText } from "../../render/plan.ts";
import { CLOUD, MESOS_SOURCE } from "../fixtures/configs.ts";

/** No secret appears in plans, errors, comments on pull requests or logs. */

const VERSIONS = { TRIPLEWIDE_VERSION: "0.0.0" };
const SECRET = "hunter2";
const folder = mkdtempSync(join(tmpdir(), "redaction-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A config in which every place that can hold a secret holds one. */
const SECRETIVE: RawConfig = {
  ...CLOUD,
  architecture: "vanilla",
  datanodeCount: 1,
  registry: "registry.example.org/team",
  registryUser: "robot",
  registryPassword: SECRET,
  mesosSource: MESOS_SOURCE.replace("://", `://me:${SECRET}@`),
  aptMirror: `https://me:${SECRET}@mirror.example.org/debian`,
  pythonIndex: `https://${SECRET}@pypi.example.org/simple`,
  s3Endpoint: "https://s3.example.org",
  s3AccessKey: SECRET,
  s3SecretKey: SECRET,
  sparkConf: {
    "spark.hadoop.fs.s3a.bucket.other.secret.key": SECRET,
    "spark.hadoop.fs.s3a.bucket.other.access.key": SECRET,
    "spark.hadoop.fs.azure.account.key.data.dfs.core.windows.net": SECRET,
    "spark.hadoop.fs.s3a.encryption.key": SECRET,
    "spark.executorEnv.SERVICE_API_KEY": SECRET,
    "spark.executorEnv.GPG_PASSPHRASE": SECRET,
    "spark.ssl.keyStorePassword": SECRET,
    "spark.executorEnv.API_TOKEN": SECRET,
    "spark.sql.catalog.db.url": `jdbc:postgresql://me:${SECRET}@db.example.org/x`,
    "spark.executor.extraJavaOptions": `-Djavax.net.ssl.trustStorePassword=${SECRET}`,
    "spark.sql.shuffle.partitions": "64",
  },
};

describe("a plan", () => {
  const cluster = describeCluster(redactedConfig(validate(SECRETIVE, "test")));
  const texts = {
    "for people": planText(cluster, VERSIONS, "test", true),
    "for programs": JSON.stringify(planDocument(cluster, VERSIONS)),
  };

  test.each(Object.entries(texts))("%s shows no secret, and all that is none", (_, text) => {
    expect(text).not.toContain(SECRET);
    expect(text).toContain("spark.ssl.keyStorePassword (secret)");
    expect(text).toContain("spark.sql.catalog.db.url jdbc:postgresql://(secret)@db.example.org/x");
    expect(text).toContain("spark.sql.shuffle.partitions 64");
  });

  test("hides no number of bits, and no class that has keys", () => {
    for (const name of ["spark.io.encryption.keySizeBits", "spark.hadoop.fs.s3a.aws.credentials.provider"])
      expect(redacted(`sparkConf.${name}`, "128")).toBe("128");
  });

  test("of the command line shows none either", async () => {
    const config = join(folder, "Pulumi.secretive.yaml");
    writeFileSync(config, JSON.stringify({ config: prefixed(SECRETIVE) }));
    writeFileSync(join(folder, "Pulumi.yaml"), "name: triplewide\n");
    for (const form of [["--files"], ["--json"]]) {
      const { status, stdout, stderr } = spawnSync(join(ROOT, "cli", "triplewide"), ["plan", "secretive", ...form], {
        cwd: folder,
        encoding: "utf8",
      });
      expect([status, stderr]).toEqual([0, ""]);
      expect(stdout).toContain("spark.sql.shuffle.partitions");
      expect(stdout).not.toContain(SECRET);
    }
  });

  test("can be made of a config whose texts are encrypted, one by one and inside of a table", () => {
    const secure = { secure: "v1:abc" };
    const config: RawConfig = {
      ...SECRETIVE,
      image: secure,
      agentFlavor: secure,
      aptMirror: secure,
      pythonIndex: secure,
      mesosSource: secure,
      registryPassword: secure,
      s3Endpoint: secure,
      s3SecretKey: secure,
      sparkConf: { "spark.x": secure, "spark.y": "1" },
    };
    writeFileSync(join(folder, "Pulumi.encrypted.yaml"), JSON.stringify({ config: prefixed(config) }));
    const read = loadConfig(folder, "encrypted");
    expect(read.pythonIndex).toBe("(secret)");
    expect(read.sparkConf).toEqual({ "spark.x": "(secret)", "spark.y": "1" });
    expect(planText(describeCluster(read), VERSIONS, "test", true)).toContain("spark.x (secret)");
  });

  test.each(["agentCount", "architecture", "clusterName", "adminCidrs", "sparkConf", "bastion"])(
    "says that it cannot read an encrypted %s",
    (key) => {
      const config = { ...CLOUD, [key]: { secure: "v1:abc" } };
      writeFileSync(join(folder, "Pulumi.encrypted.yaml"), JSON.stringify({ config: prefixed(config) }));
      expect(() => loadConfig(folder, "encrypted")).toThrow(
        `  ${key}: got "(secret)"; must be readable here: only the Pulumi CLI decrypts. Fix: set it without --secret`,
      );
    },
  );
});

test("a driver's pages hide what the plan does, where Spark by itself would not", () => {
  const redaction = (sparkConf: Record<string, string>) =>
    propertiesFor({ sparkConf }, "driver")["spark.redaction.regex"];
  const key = "spark.hadoop.fs.s3a.encryption.key";
  // In Java's syntax, with the flag at the beginning.
  const pattern = redaction({ [key]: SECRET }) ?? "";
  expect(pattern).toMatch(/^\(\?i\)/);
  for (const name of [key, "spark.x.Password", "spark.x.access.key"])
    expect(name).toMatch(new RegExp(pattern.slice("(?i)".length), "i"));
  expect("spark.io.encryption.keySizeBits").not.toMatch(new RegExp(pattern.slice("(?i)".length), "i"));
  expect(redaction({ "spark.x.password": SECRET, "spark.y": "1" })).toBeUndefined();
  expect(redaction({ [key]: SECRET, "spark.redaction.regex": "mine" })).toBe("mine");
});

const prefixed = (config: RawConfig): RawConfig =>
  Object.fromEntries(Object.entries(config).map(([key, value]) => [`triplewide:${key}`, value]));

describe("errors", () => {
  const messageOf = (raw: RawConfig): string => {
    try {
      validate(raw, "test");
    } catch (error) {
      if (error instanceof ConfigError) return `${error.message} ${JSON.stringify(error.problems)}`;
      throw error;
    }
    throw new Error("it passed");
  };

  test.each<[string, RawConfig]>([
    ["a wrong secret", { registryPassword: `${SECRET}\n` }],
    ["a secret that is no text", { s3SecretKey: [SECRET] }],
    ["a secret with a mistyped key", { registryPasword: SECRET }],
    ["a secret that nobody knows", { apiToken: SECRET }],
    ["a login in a wrong address", { pythonIndex: `https://me:${SECRET}@pypi.example.org/a b` }],
    ["a login with a slash", { aptMirror: `https://me:a/${SECRET}@x/'` }],
    ["a login in front of a registry", { registry: `me:${SECRET}@registry.example.org` }],
    ["a login in a source without a digest", { mesosSource: `https://me:${SECRET}@x/mesos.tar.gz` }],
    ["the signature of a link without a digest", { mesosSource: `https://x/mesos.tar.gz?X-Amz-Signature=${SECRET}` }],
    ["a property that is secret", { sparkConf: { "spark.ssl.keyPassword": `${SECRET} ` } }],
    ["a property whose value names a password", { sparkConf: { "spark.x": `-Dpassword=${SECRET} ` } }],
    ["a whole table as text", { sparkConf: `spark.x.password=${SECRET}` }],
    ["a whole table of another kind", { sparkConf: [{ password: SECRET }] }],
    ["a table of a wrong key", { nobody: { a: { token: SECRET } } }],
  ])("%s is not shown", (_, wrong) => {
    expect(messageOf({ ...CLOUD, ...wrong })).not.toContain(SECRET);
  });

  test("an override that is none is not shown where it holds a password", async () => {
    let said = "";
    const write = (text: string): void => {
      said += text;
    };
    await runProgram(["plan", "local", "--set", `registryPassword:${SECRET}`], { out: write, err: write });
    expect(said).toContain("--set");
    expect(said).not.toContain(SECRET);
  });

  test("findings about a cloud and its sources show no login", () => {
    const findings = new Findings();
    const url = `https://me:${SECRET}@mirror.example.org/x`;
    findings.refuse("mesosSource", url, `${url} answers 404`, `correct ${url}`);
    findings.refuse("registryPassword", SECRET, "wrong", "");
    findings.warn(`aptMirror: ${url} is not reached from here`);
    const error = new PreflightError("test", findings.problems, findings.warnings);
    expect(`${error.message} ${JSON.stringify(error.problems)} ${error.warnings}`).not.toContain(SECRET);
    expect(error.message).toContain("https://(secret)@mirror.example.org/x answers 404");
  });
});

describe("the stack", () => {
  afterEach(() => {
    pulumi.runtime.setAllConfig({});
    delete process.env.PULUMI_CONFIG_SECRET_KEYS;
  });
  const configured = (raw: RawConfig): void =>
    pulumi.runtime.setAllConfig(
      Object.fromEntries(
        Object.entries(prefixed(raw)).map(([key, value]) => [
          key,
          typeof value === "string" ? value : JSON.stringify(value),
        ]),
      ),
    );
  const registry = { ...CLOUD, registry: "r.example.org", registryUser: "robot" };

  test.each([`${SECRET}\nbootcmd: []`, `${SECRET}\u2028`, `${SECRET}\0`])(
    "refuses a decrypted secret with a line end, without showing it: %j",
    (registryPassword) => {
      configured({ ...registry, registryPassword });
      expect(() => readStackConfig()).toThrow(/registryPassword: got "\(secret\)"; must be text without control/);
      expect(() => readStackConfig()).not.toThrow(SECRET);
    },
  );

  test("holds no secret in its config", () => {
    configured({ ...registry, registryPassword: SECRET });
    const { config, secrets } = readStackConfig();
    expect(JSON.stringify(config)).not.toContain(SECRET);
    expect(Object.keys(secrets)).toEqual(["registryPassword"]);
  });

  test("shows no value of a key that is encrypted, whichever it is", () => {
    configured({ ...CLOUD, keyPair: `${SECRET};` });
    expect(() => readStackConfig()).toThrow(SECRET);
    process.env.PULUMI_CONFIG_SECRET_KEYS = '["triplewide:keyPair"]';
    expect(() => readStackConfig()).toThrow('keyPair: got "(secret)"');
    expect(() => readStackConfig()).not.toThrow(SECRET);
  });
});

test("a login is told from a digest", () => {
  const digest = `@sha256:${"a".repeat(64)}`;
  expect(withoutLogins(`docker://registry.example.org/x${digest}`)).toBe(`docker://registry.example.org/x${digest}`);
  expect(withoutLogins(`docker://me:pw@registry.example.org/x${digest}`)).toBe(
    `docker://(secret)@registry.example.org/x${digest}`,
  );
  expect(withoutLogins("https://example.org/a#sha256=1")).toBe("https://example.org/a#sha256=1");
  for (const key of Object.keys(SECRET_KEYS)) expect(redacted(key, "x"), key).toBe("(secret)");
});

test("a machine's list of package sources is root's alone, and its log shows no login", () => {
  const boot = readFileSync(join(ROOT, "render/cloud-init/guest/install"), "utf8");
  const functions = boot.slice(boot.indexOf("say() {"), boot.indexOf("trap 'die"));
  const mirror = boot.slice(boot.indexOf("use_mirror() {"), boot.indexOf("# packages NAME"));
  const apt = join(folder, "apt");
  mkdirSync(join(apt, "sources.list.d"), { recursive: true });
  const script = `${functions}${mirror.replaceAll("/etc/apt", apt)}
    umask 022
    APT_MIRROR=https://me:${SECRET}@mirror.example.org/debian
    use_mirror
    say "fetching $APT_MIRROR and https://x.example.org/m.tar.gz?sig=${SECRET}"`;
  const { status, stdout, stderr } = spawnSync("bash", ["-c", `set -euo pipefail\n${script}`], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  const list = join(apt, "sources.list.d", "triplewide.list");
  expect(readFileSync(list, "utf8")).toContain(`https://me:${SECRET}@mirror.example.org/debian `);
  expect((statSync(list).mode & 0o777).toString(8)).toBe("600");
  expect(stdout).toMatch(
    /fetching https:\/\/\(secret\)@mirror\.example\.org\/debian and https:\/\/x\.example\.org\/m\.tar\.gz\?\(secret\)\n$/,
  );
});

test("what a key must be is said in full, whatever signs it names", () => {
  for (const key of Object.keys(shape) as ConfigKey[]) {
    const { rule, fix } = infoOf(shape[key]);
    expect([withoutLogins(rule), withoutLogins(fix)], key).toEqual([rule, fix]);
  }
});

test.each(["tlsKey", "tlskey", "tlsPrivateKey", "tls-key"])("%s is hidden, also where it is no key", (name) => {
  expect(redacted(name, "MIIEvQIBADANBg")).toBe(HIDDEN);
});
