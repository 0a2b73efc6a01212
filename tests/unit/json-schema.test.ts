import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { validate } from "../../cluster/load.ts";
import { MODELINE, SCHEMA_FILE, stackFileSchema } from "../../config/json-schema.ts";
import { environments, PROJECT } from "../../config/load.ts";
import { shape } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { ROOT } from "../../lib/root.ts";
import { CLOUD } from "../fixtures/configs.ts";

/** The committed JSON Schema of stack files, as an editor uses it. */

const schema = JSON.parse(readFileSync(join(ROOT, SCHEMA_FILE), "utf8"));
const check = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true }).compile(schema);

/** The keys of a stack file that the schema refuses; empty if the file is valid. */
function refused(file: unknown): string[] {
  if (check(file)) return [];
  const keys = (check.errors ?? []).map(({ instancePath, params }) => {
    const path = [
      ...instancePath.split("/").slice(1),
      ...(params.additionalProperty ? [params.additionalProperty] : []),
    ];
    return path[0] === "config" && path[1] ? path[1] : path[0];
  });
  return [...new Set(keys)];
}

const withConfig = (config: RawConfig): unknown => ({
  config: Object.fromEntries(Object.entries(config).map(([key, value]) => [`${PROJECT}:${key}`, value])),
});

test("is the one that is made from the config's fields", () => {
  expect(schema).toEqual(JSON.parse(JSON.stringify(stackFileSchema(PROJECT))));
});

test("has every key with a description, and no other key", () => {
  const { properties } = schema.properties.config;
  expect(Object.keys(properties)).toEqual(Object.keys(shape).map((key) => `${PROJECT}:${key}`));
  for (const [key, { description }] of Object.entries<{ description: string }>(properties)) {
    expect(description, key).toMatch(/\S.*Must be /);
  }
});

test("a key that is unset offers no default, and another one its own", () => {
  const { properties } = schema.properties.config;
  expect(properties["triplewide:image"]).not.toHaveProperty("default");
  expect(properties["triplewide:executorCores"]).not.toHaveProperty("default");
  expect(properties["triplewide:agentCount"].default).toBe(2);
});

test.each(environments(ROOT))("Pulumi.%s.yaml passes, and names the schema", (environment) => {
  const text = readFileSync(join(ROOT, `Pulumi.${environment}.yaml`), "utf8");
  expect(refused(parse(text))).toEqual([]);
  expect(text.split("\n")[0]).toBe(MODELINE);
});

describe("what people mistype is refused at its key", () => {
  test.each<[RawConfig, string]>([
    [{ agentCuont: 3 }, "agentCuont"],
    [{ architecture: "mesos" }, "architecture"],
    [{ platform: 3 }, "platform"],
    [{ agentCount: "three" }, "agentCount"],
    [{ agentCount: 2.5 }, "agentCount"],
    [{ agentCount: 0 }, "agentCount"],
    [{ masterCount: 2 }, "masterCount"],
    [{ bastion: "yes" }, "bastion"],
    [{ adminCidrs: ["198.51.100.7/33"] }, "adminCidrs"],
    [{ removedAgents: ["master-1"] }, "removedAgents"],
    [{ sparkConf: ["a"] }, "sparkConf"],
    [{ flavorSizes: { "m1.large": { vcpu: 4, ramMiB: 8192 } } }, "flavorSizes"],
    [{ mesosSource: "mesos.tar.gz" }, "mesosSource"],
    [{ networkCidr: "10.72.0.0" }, "networkCidr"],
    [{ jupyterPort: 80 }, "jupyterPort"],
    [{ registryPassword: { secret: "x" } }, "registryPassword"],
  ])("%j", (wrong, key) => {
    expect(refused(withConfig({ ...CLOUD, ...wrong }))).toEqual([`${PROJECT}:${key}`]);
    // The program refuses the same values, at the same key.
    expect(() => validate({ ...CLOUD, ...wrong }, "test")).toThrow(new RegExp(`^  ${key}\\b`, "m"));
  });

  test("a key of the file itself", () => {
    expect(refused({ config: {}, secretprovider: "passphrase" })).toEqual(["secretprovider"]);
    expect(refused({ config: [] })).toEqual(["config"]);
  });
});

describe("what Pulumi writes is taken", () => {
  test("values as text", () => {
    const config = {
      agentCount: "3",
      bastion: "false",
      adminCidrs: '["198.51.100.7/32"]',
      sparkConf: '{"spark.a": "b"}',
    };
    expect(refused(withConfig(config))).toEqual([]);
    expect(() => validate({ ...CLOUD, ...config }, "test")).not.toThrow();
  });

  test("encrypted values of every key", () => {
    const secure = Object.fromEntries(Object.keys(shape).map((key) => [key, { secure: "v1:abc" }]));
    expect(refused(withConfig(secure))).toEqual([]);
  });

  test("keys of providers, and the file's own keys", () => {
    const file = {
      config: { "openstack:cloud": "lab", "docker:registryAuth": [{ address: "registry.example.org" }] },
      encryptionsalt: "v1:x",
      secretsprovider: "passphrase",
      encryptedkey: "x",
      environment: ["lab"],
    };
    expect(refused(file)).toEqual([]);
  });
});
