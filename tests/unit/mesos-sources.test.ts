import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { COMPLETE_MESOS, KNOWN_MESOS } from "../../cluster/mesos-sources.ts";
import { source as pinned, unpinnedSource } from "../../config/grammar.ts";
import { environments, loadRaw } from "../../config/load.ts";
import { ROOT } from "../../lib/root.ts";
import { type MesosFacts, problemsOf, reportText } from "../../mesos/check.ts";
import { withSource } from "../../mesos/pin.ts";
import { knownText } from "../../mesos/reference.ts";
import { digestOfTag, tokenAddress } from "../../mesos/registry.ts";
import { missingBeforeUp } from "../../render/plan.ts";
import { Registry } from "../fakes/registry.ts";

const DIGEST = "a".repeat(64);
const SOURCE = `docker://example.org/mesos:1@sha256:${DIGEST}`;

describe("known sources", () => {
  test("are what `check` and `use` take, and none has a digest that could be old", () => {
    for (const { source } of KNOWN_MESOS) {
      if (source === undefined) continue;
      expect(source).toMatch(unpinnedSource.pattern);
      expect(source).not.toMatch(pinned.pattern);
    }
    expect(new Set(KNOWN_MESOS.map(({ name }) => name)).size).toBe(KNOWN_MESOS.length);
  });

  test("say whether they were tried; the list prints each", () => {
    const blocks = knownText().split("\n\n");
    for (const [i, { name, source, tried }] of KNOWN_MESOS.entries()) {
      expect(blocks[i]).toContain(`${name}: ${source ?? "file:///"}`);
      expect(blocks[i]).toContain(tried ? `tried ${tried.date}` : "published, not tried here");
    }
  });

  test("the first that holds everything is what an architecture without a Mesos offers, for its environment", () => {
    const cluster = describeCluster(validate({ platform: "docker", architecture: "docker-executors" }, "test"));
    expect(missingBeforeUp(cluster, "local")).toEqual([
      expect.stringContaining(`make mesos USE=${COMPLETE_MESOS[0]} (others: make mesos)`),
    ]);
    expect(missingBeforeUp(cluster, "prod")[0]).toContain(`make mesos USE=${COMPLETE_MESOS[0]} ENV=prod (`);
  });

  test.each([
    ["docker://mesosphere/marathon", true],
    ["docker://127.0.0.1:5000/a/b:1", true],
    ["https://x.example/m.deb", true],
    ["file:///srv/m.tar.gz", true],
    ["file:///srv/m m.tar.gz", false],
    ["mesos.tar.gz", false],
    ["docker://x@sha256:short", false],
    ["ftp://x/m.tar.gz", false],
    ["--json", false],
  ])("%s is one: %s", (text, is) => {
    expect(unpinnedSource.pattern.test(text)).toBe(is);
  });
});

describe("pinning", () => {
  const write = (text: string) => withSource(text, "mesosSource", SOURCE, "2026-11-26");
  const line = `  triplewide:mesosSource: ${SOURCE} # pinned 2026-11-26\n`;

  test.each(environments(ROOT))("Pulumi.%s.yaml keeps every other line, and reads back", (name) => {
    const text = readFileSync(join(ROOT, `Pulumi.${name}.yaml`), "utf8");
    expect(write(text)).toBe(`${text}${line}`);
    expect(loadRaw(ROOT, name)).toBeDefined();
  });

  test("a value that is there is replaced, in its place, with or without the project's name before the key", () => {
    for (const key of ["triplewide:mesosSource", "mesosSource"]) {
      const before = `config:\n  # why\n  ${key}: file:///m.tar.gz#sha256=${DIGEST} # pinned 2026-01-01\n  triplewide:agentCount: 3\n`;
      expect(write(before)).toBe(
        `config:\n  # why\n  ${key}: ${SOURCE} # pinned 2026-11-26\n  triplewide:agentCount: 3\n`,
      );
    }
  });

  test.each([
    ["", `config:\n${line}`],
    ["config:\n", `config:\n${line}`],
    ["config: {}\n", `config: { triplewide:mesosSource: ${SOURCE} }`],
  ])("a file without config: %j", (before, after) => {
    const text = write(before) ?? "";
    if (after.endsWith("\n")) expect(text).toBe(after);
    else expect(text).toContain(`triplewide:mesosSource: ${SOURCE}`);
  });

  test.each(["config: 3\n", "- a\n", "config: [\n"])("nothing is written into what is no table: %j", (text) => {
    expect(write(text)).toBeUndefined();
  });
});

describe("the digest of a tag", () => {
  let registry: Registry;
  const { signal } = new AbortController();
  const manifest = "{}";
  let digest = "";

  beforeAll(async () => {
    registry = await Registry.start();
    const put = await fetch(`http://${registry.host}/v2/team/mesos/manifests/1`, { method: "PUT", body: manifest });
    digest = put.headers.get("docker-content-digest")?.replace("sha256:", "") ?? "";
  });
  afterAll(() => registry.stop());

  test("is asked for without a body, and with a token for everyone where the registry wants one", async () => {
    expect(await digestOfTag(`${registry.host}/team/mesos:1`, signal)).toBe(digest);
    registry.tokens = true;
    expect(await digestOfTag(`${registry.host}/team/mesos:1`, signal)).toBe(digest);
    registry.tokens = false;
    expect(registry.log.filter((line) => line.startsWith("GET"))).toEqual([]);
  });

  test("is asked for with a token of no service without HTTPS, which a registry would be sent its answer of", () => {
    const challenge = (realm: string) => `Bearer realm="${realm}",service="r.example.org",scope="repository:a/b:pull"`;
    const asked = "?service=r.example.org&scope=repository%3Aa%2Fb%3Apull";
    expect(tokenAddress(challenge("https://auth.example.org/token"), "https")?.href).toBe(
      `https://auth.example.org/token${asked}`,
    );
    for (const realm of ["http://169.254.169.254/latest", "http://127.0.0.1:8888/api", "file:///etc/passwd", "nowhere"])
      expect(tokenAddress(challenge(realm), "https"), realm).toBeUndefined();
    expect(tokenAddress(challenge("http://127.0.0.1:5000/token"), "http")?.href).toBe(
      `http://127.0.0.1:5000/token${asked}`,
    );
  });

  test("is not known where the registry does not say", async () => {
    expect(await digestOfTag(`${registry.host}/team/mesos:2`, signal)).toBeUndefined();
    registry.limited = true;
    expect(await digestOfTag(`${registry.host}/team/mesos:1`, signal)).toBeUndefined();
    expect(await digestOfTag("127.0.0.1:1/team/mesos:1", signal)).toBeUndefined();
  });
});

describe("what keeps a Mesos from being used", () => {
  const SOUND: MesosFacts = {
    version: "1.11.0",
    architecture: "amd64",
    here: "amd64",
    master: true,
    agent: true,
    bindings: 112,
    tls: true,
    daemons: { works: true, says: "mesos 1.11.0" },
    java: { works: true, says: "libmesos 1.11.0 loads into Java 17" },
    trial: { agent: { works: true, says: "" }, driver: { works: true, says: "TASK_FINISHED" } },
    pair: null,
    controlGroups: [1],
    containerizers: ["mesos", "docker"],
    isolators: ["posix/cpu", "namespaces/ipc", "namespaces/pid"],
    crashes: [],
    libraries: { missing: [], symbols: [], carried: [] },
    packages: { wanted: ["libapr1"], unknown: [] },
    bytes: 2e8,
  };
  const what = (over: Partial<MesosFacts>) => problemsOf({ ...SOUND, ...over }, ["daemons", "java"]).map((p) => p.what);

  test("nothing, where all is there", () => {
    expect(what({})).toEqual([]);
  });

  test("another architecture, which alone is said", () => {
    expect(what({ architecture: "arm64", daemons: { works: false, says: "Exec format error" } })).toEqual([
      "it is built for arm64, and this machine's Docker runs amd64",
    ]);
  });

  test("what Java or the programs say, where their libraries are all there", () => {
    const broken = { works: false, says: "java.lang.UnsatisfiedLinkError: x" };
    expect(what({ java: broken })).toEqual(["Java does not load its libmesos: java.lang.UnsatisfiedLinkError: x"]);
    expect(what({ daemons: { works: false, says: "mesos-master does not run" } })).toEqual([
      "master or agent does not start: mesos-master does not run",
    ]);
    const missing = [{ name: "libx.so.1", of: "libmesos.so", package: null }];
    expect(what({ java: broken, libraries: { missing, symbols: [], carried: [] } })).toHaveLength(1);
  });

  test("an agent or a driver that cannot log in to the master, for who needs it", () => {
    const refused = { works: false, says: "no mechanism available" };
    const trial = { agent: refused, driver: null };
    expect(what({ trial })).toEqual(["its agent does not log in to its master: no mechanism available"]);
    const driver = { agent: SOUND.daemons, driver: refused };
    expect(what({ trial: driver })).toEqual([
      "a driver does not log in to its master and run a task: no mechanism available",
    ]);
    expect(problemsOf({ ...SOUND, trial: driver }, ["daemons"])).toEqual([]);
  });

  test("libmesos of another source with which no driver runs a task, whatever is wanted of this one", () => {
    const pair = { works: false, says: "refused: Authentication failed" };
    const said =
      "a driver with the other source's libmesos does not log in to its master and run a task: refused: Authentication failed";
    expect(problemsOf({ ...SOUND, pair }, ["daemons"]).map(({ what: text }) => text)).toEqual([said]);
    expect(problemsOf({ ...SOUND, pair: { works: true, says: "TASK_FINISHED" } }, ["daemons"])).toEqual([]);
  });

  test("an agent that cannot keep tasks apart, for who has agents", () => {
    const isolators = ["posix/cpu", "namespaces/ipc"];
    expect(what({ isolators })).toEqual([
      "its agent does not start with what keeps tasks of a machine apart: namespaces/pid",
    ]);
    expect(problemsOf({ ...SOUND, isolators }, ["java"])).toEqual([]);
    // Mesos may accept any name, so the result is unknown.
    expect(what({ isolators: null, crashes: null })).toEqual([]);
  });

  test("what its agent crashes with is said, and is no reason where agents do without it", () => {
    const facts = { ...SOUND, crashes: ["linux/capabilities"] };
    const report = { source: SOURCE, digest: DIGEST, archiveBytes: 5e7, facts, dockerControlGroups: 1 };
    expect(reportText({ ...report, problems: [] })).toMatch(/^ {2}crashes with +linux\/capabilities$/m);
    expect(what(facts)).toEqual([]);
  });

  test("control groups are no reason, but it is said who cannot start containers here", () => {
    const report = { source: SOURCE, digest: DIGEST, archiveBytes: 5e7, facts: SOUND, problems: [] };
    expect(reportText({ ...report, dockerControlGroups: 1 })).toContain("version 1 (this machine's Docker has 1)");
    expect(reportText({ ...report, dockerControlGroups: 2 })).toContain(
      "this machine's Docker has 2: agents of docker-executors and marathon-standalone cannot start containers here",
    );
  });

  test("whatever a program calls itself, it moves nobody's cursor", () => {
    const facts = { ...SOUND, version: "1.11.0\u001b[2J", java: { works: false, says: "\u001b]0;x\u0007" } };
    const problems = problemsOf(facts, ["java"]);
    const report = { source: SOURCE, digest: DIGEST, archiveBytes: 5e7, facts, problems, dockerControlGroups: 1 };
    expect(reportText(report).replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
    expect(reportText(report)).toContain("1.11.0\\u{1b}[2J");
  });
});
