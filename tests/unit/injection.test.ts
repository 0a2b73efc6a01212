import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster, Content } from "../../cluster/types.ts";
import { type Filled, fill, type LookUp, placeholder } from "../../cluster/values.ts";
import { infoOf } from "../../config/fields.ts";
import { ConfigError } from "../../config/problems.ts";
import { type Config, type ConfigKey, shape } from "../../config/schema.ts";
import { isSecretKey } from "../../config/secrets.ts";
import type { RawConfig } from "../../config/validate.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { execLine } from "../../render/cloud-init/systemd.ts";
import { renderUserData, userDataReferences } from "../../render/cloud-init.ts";
import { renderCompose } from "../../render/compose.ts";
import { containerCommand } from "../../render/container.ts";
import { writeContent } from "../../render/content.ts";
import { CLOUD, mesosOf } from "../fixtures/configs.ts";
import { problems } from "../fixtures/problems.ts";

/**
 * Config values never run as commands. There are two defences, each tested without the other: every text has a grammar, and every
 * value is quoted for its destination.
 */

const checkout = readCheckout();
const DIGEST = `@sha256:${"a".repeat(64)}`;
const dir = mkdtempSync(join(tmpdir(), "injection-"));
/** A file that exists if any hostile text was run. */
const canary = join(dir, "canary");
afterAll(() => rmSync(dir, { recursive: true }));

describe("attacks that worked once are refused", () => {
  test.each<[string, RawConfig, string]>([
    [
      "a command in machine.env",
      { prebuiltImages: { "spark-python": `x';touch$IFS/tmp/p;'${DIGEST}` } },
      "prebuiltImages.spark-python",
    ],
    ["options of docker run", { registry: "--privileged -v /:/host r.example.org/t" }, "registry"],
    ["options of docker pull", { prebuiltImages: { client: `--privileged${DIGEST}` } }, "prebuiltImages.client"],
    [
      "a section of the user data",
      { registry: "r.example.org", registryUser: "u", registryPassword: "x\nbootcmd:\n - touch /tmp/p" },
      "registryPassword",
    ],
    ["a line of spark-defaults", { sparkConf: { "spark.x": "1\nspark.authenticate false" } }, "sparkConf.spark.x"],
    ["a line by a name", { sparkConf: { "spark.x 1\nspark.authenticate": "false" } }, "sparkConf"],
    ["a separator in a name", { sparkConf: { "spark.x=y": "false" } }, "sparkConf.spark.x=y"],
    [
      "a secret in the name of an image",
      { prebuiltImages: { client: `evil.example/{{secret:spark-auth}}/c${DIGEST}` } },
      "prebuiltImages.client",
    ],
    ["a command in a mirror", { aptMirror: "http://x/';touch$\u007bIFS}/tmp/p;'" }, "aptMirror"],
    ["a second source of packages", { aptMirror: "http://x/ [trusted=yes] http://evil.example/" }, "aptMirror"],
    ["an option of pip", { pythonIndex: "http://x/ --trusted-host evil.example" }, "pythonIndex"],
    [
      "an image without a digest that names a command",
      { marathonSource: "docker://x$(touch /tmp/p)" },
      "marathonSource",
    ],
    ["more attributes", { mesosAttributes: { rack: "a;cpus:1000" } }, "mesosAttributes.rack"],
    ["a prototype", { sparkConf: JSON.parse('{"__proto__": {"x": "y"}}') }, "sparkConf"],
    ["a key of JavaScript's", JSON.parse('{"__proto__": {"registry": "x"}, "toString": "x"}'), "__proto__"],
    ["text that runs backwards", { registryUser: "a\u202egnp" }, "registryUser"],
    ["a letter that nobody sees", { externalNetwork: "public\u3164net" }, "externalNetwork"],
  ])("%s", (_, attack, key) => {
    const found = problems({ ...CLOUD, architecture: "docker-executors", ...mesosOf("docker-executors"), ...attack });
    expect(found[0]?.key.startsWith(key), `${JSON.stringify(found[0]?.key)} is ${JSON.stringify(key)}`).toBe(true);
  });

  test("an error shows such a value on one line", () => {
    const refused = problems({ ...CLOUD, sparkConf: { "a\nb\u2028": "c\u202ed\n" } });
    expect(new ConfigError("test", refused).message.split(/[\n\u2028]/)).toHaveLength(1 + refused.length);
    expect(new ConfigError("test", refused).message).not.toMatch(/[\u202e\u2028]/);
  });
});

/** Keys whose values are or contain text. */
const TEXT_KEYS = (Object.keys(shape) as ConfigKey[]).filter((key) => {
  const { kind, choices } = infoOf(shape[key]);
  return ["string", "array", "object"].includes(kind) && choices === undefined;
});

/** Values of a key with the text in each possible place: the value itself, an item, a name, a nested value. */
function holding(key: ConfigKey, text: string): unknown[] {
  switch (infoOf(shape[key]).kind) {
    case "array":
      return [[text]];
    case "object":
      return key === "flavorSizes"
        ? [{ [text]: { vcpus: 1, ramMiB: 1024 } }]
        : key === "prices"
          ? [{ [text]: 1 }]
          : [
              { [text]: key === "prebuiltImages" ? `x${DIGEST}` : "1" },
              { [key === "prebuiltImages" ? "client" : "spark.x"]: text },
            ];
    default:
      return [text];
  }
}

/** Line ends, control characters and marks that turn text around; then invisible letters, marks and tags. */
const UNFIT = [..."\n\r\t\0\x1b\x7f\x85\u2028\u2029\ud800\u202e", ..."\u3164\uffa0\u00ad\u034f\u2063\ufe0f\u{e0061}"];

test.each(TEXT_KEYS)("%s takes no control character and no line end, wherever in it", (key) => {
  for (const character of UNFIT) {
    for (const text of [`a${character}b`, `${character}a`, `a${character}`]) {
      for (const value of holding(key, text)) {
        const found = problems({ ...CLOUD, [key]: value }).filter((p) => p.key.startsWith(key));
        expect(found, JSON.stringify(value)).not.toEqual([]);
        // The Pulumi CLI passes objects as JSON.
        if (typeof value === "object") {
          expect(problems({ ...CLOUD, [key]: JSON.stringify(value) }).map((p) => p.key)).toContain(found[0]?.key);
        }
      }
    }
  }
});

test("text that looks like a reference is text", () => {
  const attack = { sparkConf: { "spark.a": "{{secret:mesos-admin}}", "spark.b": "{{image:client}}" } };
  const clean = { sparkConf: { "spark.a": "1", "spark.b": "2" } };
  const cluster = (more: RawConfig): Cluster =>
    describeCluster(validate({ ...CLOUD, architecture: "vanilla", ...mesosOf("vanilla"), ...more }, "test"));
  const [attacked, before] = [cluster(attack), cluster(clean)];
  // No machine gets an additional secret.
  expect(attacked.secrets).toEqual(before.secrets);
  for (const machine of attacked.machines) {
    expect(userDataReferences(attacked, machine)).toEqual(userDataReferences(before, machine));
  }
  const client = attacked.machines.find((m) => m.group === "client");
  if (!client) throw new Error("no client");
  const data = renderUserData(attacked, client, checkout, ({ name }) => `value-of-${name}`);
  expect(data).toContain("spark.a {{secret:mesos-admin}}\n");
  expect(data).toContain("spark.b {{image:client}}\n");
  expect(data).not.toContain("value-of-mesos-admin");
});

/** Text on one line with the special characters of all formats. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...["'", '"', "`", "\\", "$", "%", "#", "!", ":", "=", ";", "&", "|", "<", ">", "{", "}", "[", "]", "*", "?"],
        ...[
          " ",
          "- ",
          "---",
          "{{secret:spark-auth}}",
          "$\u007bHOME}",
          "$$",
          "%n",
          "%%",
          "\\n",
          "\\u0041",
          "]]>",
          "<!--",
          "é",
          "𝄞",
        ],
        ...[`$(touch ${canary})`, `\`touch ${canary}\``, `';touch ${canary};'`, `";touch ${canary};"`, "yes", "0600"],
      ),
      fc
        .string({ unit: "grapheme", maxLength: 4 })
        .filter((text) => !/\p{C}|\p{Zl}|\p{Zp}|\p{Default_Ignorable_Code_Point}/u.test(text)),
    ),
    { minLength: 1, maxLength: 8 },
  )
  .map((parts) => parts.join(""));

/** A config whose every text is hostile, as without validation. */
function unvalidated(
  texts: readonly string[],
  architecture: Config["architecture"],
  platform: Config["platform"],
): Config {
  const config: Config = validate({ ...CLOUD, architecture, ...mesosOf(architecture), platform }, "test");
  let next = 0;
  const text = (): string => texts[next++ % texts.length] ?? "";
  const set = { ...config } as Record<string, unknown>;
  for (const key of ["registry", "registryUser", "aptMirror", "pythonIndex", "s3Endpoint", "s3AccessKey", "sshUser"]) {
    set[key] = text();
  }
  for (const key of Object.keys(shape).filter(isSecretKey)) set[key] = text();
  set.marathonSource = `docker://${text()}`;
  if (architecture !== "standalone") set.mesosSource = text();
  set.sparkConf = Object.fromEntries(texts.map((name, i) => [`spark.${name}`, texts[texts.length - 1 - i]]));
  set.mesosAttributes = { [text()]: text() };
  set.existingNamenodes = [text()];
  set.prebuiltImages = { "spark-python": text(), client: text() };
  set.flavorSizes = { [text()]: { vcpus: 1, ramMiB: 1024 } };
  return set as unknown as Config;
}

const texts = fc.array(hostile, { minLength: 5, maxLength: 5 });
const architectures = fc.constantFrom("standalone", "vanilla", "docker-executors", "marathon-standalone" as const);
const lookUp =
  (texts: readonly string[]): LookUp =>
  ({ name }) =>
    texts[name.length % texts.length] ?? "";

describe("whatever a value is, each renderer's text reads back as that value", () => {
  test("Compose", () => {
    fc.assert(
      fc.property(texts, architectures, (texts, architecture) => {
        const cluster = describeCluster(unvalidated(texts, architecture, "docker"));
        const value = lookUp(texts);
        const rendered = renderCompose({
          cluster,
          imageOf: (name) => value({ kind: "image", name }),
          secretOf: (name) => value({ kind: "secret", name }),
        });
        for (const version of ["1.1", "1.2"] as const) {
          const { services } = parse(rendered.compose, { version }) as { services: Record<string, ComposeService> };
          for (const service of cluster.services) {
            const found = services[`${service.machine}-${service.name}`] ?? services[service.machine];
            expect(found?.environment ?? {}).toEqual(mapped(fill(service.env, value), doubled));
            expect(found?.command).toEqual(containerCommand(service).map(doubled));
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  test("user data, units and login files", () => {
    fc.assert(
      fc.property(texts, architectures, (texts, architecture) => {
        const cluster = describeCluster(unvalidated(texts, architecture, "openstack"));
        const value = lookUp(texts);
        for (const machine of cluster.machines) {
          let text: string;
          try {
            text = renderUserData(cluster, machine, checkout, value);
          } catch (error) {
            // Two services need one file with different values, which this test does not check.
            if (/two services want|not a request line/.test(String(error))) continue;
            throw error;
          }
          const data = readUserData(text);
          expect(Object.keys(data)).toEqual(Object.keys(plainUserData()));
          expect(data.user.name).toBe(cluster.config.sshUser);
          const file = (path: string) => data.write_files.find((f) => f.path === path)?.content;
          const password = file("/etc/triplewide/pull-password");
          if (password !== undefined) expect(texts).toContain(password);
          for (const unit of data.write_files.filter((f) => f.path.endsWith(".service"))) {
            for (const line of String(unit.content).trim().split("\n")) {
              expect(line).toMatch(/^(\[(Unit|Service|Install)\]|[A-Za-z]+=.*|)$/);
            }
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  test("machine.env, read by a real bash, which runs nothing", () => {
    fc.assert(
      fc.property(texts, (texts) => {
        const cluster = describeCluster(unvalidated(texts, "vanilla", "openstack"));
        const agent = cluster.machines.find((m) => m.group === "agent");
        if (!agent) throw new Error("no agent");
        const data = readUserData(renderUserData(cluster, agent, checkout, lookUp(texts)));
        const env = data.write_files.find((f) => f.path === "/etc/triplewide/machine.env")?.content ?? "";
        const file = join(dir, "machine.env");
        writeFileSync(file, env);
        const names = ["NAME", "APT_MIRROR", "MESOS_SOURCE", "PYTHON_INDEX"];
        const print = `set -u; . ${file}; printf '%s\\0' ${names.map((name) => `"$${name}"`).join(" ")}`;
        const { stdout, stderr, status } = spawnSync("bash", ["-c", print], { encoding: "utf8", cwd: dir });
        expect([status, stderr]).toEqual([0, ""]);
        const { aptMirror = "", mesosSource = "", pythonIndex = "" } = cluster.config;
        expect(stdout.split("\0").slice(0, -1)).toEqual([
          agent.name,
          aptMirror.replace(/\/+$/, ""),
          mesosSource,
          pythonIndex,
        ]);
      }),
      { numRuns: 60 },
    );
    expect(existsSync(canary)).toBe(false);
  });

  test("a line of exports, read by a real bash", () => {
    fc.assert(
      fc.property(hostile, (value) => {
        writeFileSync(join(dir, "env"), writeContent({ format: "shell-exports", variables: { A: value } }));
        const print = `. ${dir}/env; printf '%s' "$A"`;
        expect(spawnSync("bash", ["-c", print], { encoding: "utf8" }).stdout).toBe(value);
      }),
      { numRuns: 60 },
    );
    expect(existsSync(canary)).toBe(false);
  });

  test("systemd's command lines", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(hostile, fc.string())), (args) => {
        fc.pre(args.every((arg) => !arg.includes("\0")));
        const line = execLine(["/bin/x", ...args]);
        expect(line).not.toMatch(/[\n\r]/);
        expect(readExecLine(line)).toEqual(["/bin/x", ...args]);
      }),
    );
  });

  const table = fc.dictionary(
    fc.oneof(hostile, fc.string({ minLength: 1 })).filter((name) => name !== ""),
    fc.oneof(hostile, fc.string()).map((value) => value.trim()),
    { maxKeys: 6, noNullPrototype: true },
  );

  test("properties, by Java's rules", () => {
    fc.assert(
      fc.property(table, fc.constantFrom(" ", "=" as const), (properties, separator) => {
        const written = writeContent({ format: "properties", separator: separator as " " | "=", properties });
        expect(readProperties(written)).toEqual({ ...properties });
      }),
      { numRuns: 500 },
    );
  });

  test("JSON", () => {
    fc.assert(
      fc.property(table, (value) => {
        const written = writeContent({ format: "json", value });
        expect(JSON.parse(written)).toEqual({ ...value });
        expect(written.trimEnd()).not.toMatch(/[\n\r]/);
      }),
    );
  });

  test("Hadoop's XML, by a real parser", () => {
    const tables = fc.sample(
      fc.dictionary(
        hostile.filter((name) => name !== ""),
        hostile,
        { noNullPrototype: true },
      ),
      60,
    );
    const files = tables.map((properties) => writeContent({ format: "hadoop-xml", properties }));
    const script =
      "import json,sys,xml.etree.ElementTree as E\n" +
      "print(json.dumps([{p.findtext('name'): p.findtext('value') for p in E.fromstring(t.encode())} for t in json.load(sys.stdin)]))";
    const read = spawnSync("python3", ["-c", script], { input: JSON.stringify(files), encoding: "utf8" });
    expect(read.stderr).toBe("");
    expect(JSON.parse(read.stdout)).toEqual(tables.map((t) => ({ ...t })));
  });
});

describe.skipIf(spawnSync("javac", ["-version"]).status !== 0)("properties, by Java itself", () => {
  beforeAll(() => {
    const program = `
      import java.io.*; import java.nio.charset.StandardCharsets; import java.nio.file.*; import java.util.*;
      class Read { public static void main(String[] a) throws Exception {
        try (var out = new PrintStream(System.out, false, StandardCharsets.UTF_8)) {
          for (int i = 0; i < Integer.parseInt(a[1]); i++) {
            var p = new Properties();
            p.load(Files.newBufferedReader(Path.of(a[0], "p" + i)));
            for (var k : new TreeSet<>(p.stringPropertyNames())) out.print(k + "\\0" + p.getProperty(k) + "\\0");
            out.print("\\1");
          } } } }`;
    writeFileSync(join(dir, "Read.java"), program);
    execFileSync("javac", ["-d", dir, join(dir, "Read.java")]);
  });

  test("give exactly the names and values", () => {
    const tables = fc.sample(
      fc.dictionary(
        hostile.filter((name) => name !== ""),
        hostile,
        { noNullPrototype: true, maxKeys: 8 },
      ),
      200,
    );
    for (const [i, properties] of tables.entries()) {
      writeFileSync(join(dir, `p${i}`), writeContent({ format: "properties", separator: " ", properties }));
    }
    const out = execFileSync("java", ["-cp", dir, "Read", dir, String(tables.length)], { encoding: "utf8" });
    const read = out
      .split("\x01")
      .slice(0, -1)
      .map((one) => {
        const parts = one.split("\0").slice(0, -1);
        return Object.fromEntries(parts.flatMap((part, i) => (i % 2 === 0 ? [[part, parts[i + 1]]] : [])));
      });
    expect(read).toEqual(tables.map((t) => ({ ...t })));
  });
});

/** Accepted values reach Spark unchanged. */
test("a Spark property that is accepted stands in spark-defaults.conf as it is", () => {
  fc.assert(
    fc.property(hostile, (value) => {
      const raw = { ...CLOUD, sparkConf: { "spark.some.value": value } };
      if (problems(raw).length > 0) return value !== value.trim();
      const { spark } = describeCluster(validate(raw, "test"));
      const conf = fill(spark.conf, placeholder);
      const content: Filled<Content> = { format: "properties", separator: " ", properties: conf };
      const read = readProperties(writeContent(content));
      return read["spark.some.value"] === value && read["spark.authenticate"] === "true";
    }),
  );
});

interface ComposeService {
  command: string[];
  environment: Record<string, string>;
}

/** Compose reads `$$` as `$`. */
const doubled = (text: string): string => text.replaceAll("$", "$$$$");

const mapped = (env: Record<string, string>, change: (text: string) => string): Record<string, string> =>
  Object.fromEntries(Object.entries(env).map(([key, value]) => [key, change(value)]));

interface UserData {
  user: { name: string };
  write_files: { path: string; content: string; encoding?: string }[];
}

function readUserData(text: string): UserData {
  const data = parse(text, { version: "1.1" }) as UserData;
  for (const file of data.write_files) {
    if (file.encoding === "b64") file.content = Buffer.from(file.content, "base64").toString();
  }
  return data;
}

let plain: object | undefined;
function plainUserData(): object {
  if (plain === undefined) {
    const cluster = describeCluster(validate(CLOUD, "test"));
    const [machine] = cluster.machines;
    if (!machine) throw new Error("no machine");
    plain = parse(renderUserData(cluster, machine, checkout, placeholder), { version: "1.1" }) as object;
  }
  return plain;
}

/** Parses a properties file, by the documentation of java.util.Properties.load. */
function readProperties(text: string): Record<string, string> {
  const logical: string[] = [];
  let open = false;
  for (const natural of text.split(/\r\n|\n|\r/)) {
    const line = natural.replace(/^[ \t\f]+/, "");
    if (!open && (line === "" || /^[#!]/.test(line))) continue;
    const continues = (/\\*$/.exec(line)?.[0].length ?? 0) % 2 === 1;
    const part = continues ? line.slice(0, -1) : line;
    if (open) logical.push(`${logical.pop()}${part}`);
    else logical.push(part);
    open = continues;
  }
  const unescaped = (escaped: string): string =>
    escaped.replace(/\\(u[0-9a-fA-F]{4}|[\s\S])/g, (_, c: string) => {
      if (c.length > 1) return String.fromCharCode(Number.parseInt(c.slice(1), 16));
      return { t: "\t", n: "\n", r: "\r", f: "\f" }[c] ?? c;
    });
  const entries = logical.map((line) => {
    const key = /^(\\[\s\S]|[^\\:= \t\f])*/.exec(line)?.[0] ?? "";
    const value = line.slice(key.length).replace(/^[ \t\f]*[:=]?[ \t\f]*/, "");
    return [unescaped(key), unescaped(value)];
  });
  return Object.fromEntries(entries);
}

/** Parses a unit's command line, by systemd.service(5) and systemd.syntax(7): quotes, escapes, specifiers, variables. */
function readExecLine(line: string): string[] {
  const words: string[] = [];
  for (let i = 0; i < line.length; ) {
    if (line[i] === " ") {
      i++;
      continue;
    }
    let word = "";
    const quoted = line[i] === '"';
    if (quoted) i++;
    for (; i < line.length && line[i] !== (quoted ? '"' : " "); i++) {
      let c = line[i] ?? "";
      if (c === "\\") {
        const hex = /^x([0-9a-f]{2})/.exec(line.slice(i + 1));
        c = hex ? String.fromCharCode(Number.parseInt(hex[1] ?? "", 16)) : (line[i + 1] ?? "");
        i += hex ? 3 : 1;
      } else if (c === "%" || c === "$") {
        // A character that is not doubled would be a specifier or a variable.
        if (line[i + 1] !== c) throw new Error(`${c} at ${i} of ${line}`);
        i++;
      }
      word += c;
    }
    if (quoted) {
      i++;
      if (i < line.length && line[i] !== " ") throw new Error(`no end of the word at ${i} of ${line}`);
    }
    words.push(word);
  }
  return words;
}
