import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer as createPlain, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { issuerOf } from "../../cluster/authority.ts";
import { mesosParts } from "../../cluster/images.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import { http } from "../../cluster/probe.ts";
import { targetsOf } from "../../cluster/services/prometheus/targets.ts";
import { SPARK_UID } from "../../cluster/services/spark/spark.ts";
import type { Cluster, Service } from "../../cluster/types.ts";
import { fill, placeholder, type Value } from "../../cluster/values.ts";
import type { RawConfig } from "../../config/validate.ts";
import { ROOT } from "../../lib/root.ts";
import { publishedLinks } from "../../render/compose.ts";
import { renderService } from "../../render/content.ts";
import { probeCommand } from "../../render/probe.ts";
import { CLOUD, MESOS_SOURCE } from "../fixtures/configs.ts";
import { problems } from "../fixtures/problems.ts";
import { authorityHere, shownHere } from "../fixtures/tls.ts";

const define = (raw: RawConfig): Cluster => describeCluster(validate({ mesosTls: true, ...raw }, "test"));
const onDocker = (raw: RawConfig): Cluster => define({ platform: "docker", ...raw });

function serviceOf(cluster: Cluster, name: string): Service {
  const found = cluster.services.find((s) => s.name === name);
  if (!found) throw new Error(`no ${name}`);
  return found;
}

const contentOf = (service: Service, path: string): string =>
  renderService(service, placeholder).files.find((file) => file.path === path)?.content ?? "";

describe("what speaks TLS by libprocess", () => {
  test.each([
    ["vanilla", "jupyter", 1],
    ["docker-executors", "jupyter", 1],
    ["mesos-in-docker", "jupyter", 1],
    ["marathon-standalone", "marathon", 3],
  ] as const)(
    "%s: masters, agents and each %s have a key of their own, which nobody else reads",
    (architecture, framework, count) => {
      const cluster = define({ ...CLOUD, architecture, mesosSource: MESOS_SOURCE, masterCount: 3, agentCount: 2 });
      const talking = cluster.services.filter((s) => ["mesos-master", "mesos-agent", framework].includes(s.name));
      expect(talking).toHaveLength(5 + count);
      const keys = talking.map((service) => {
        const { env, files } = service;
        expect(env).toMatchObject({ LIBPROCESS_SSL_ENABLED: "true", LIBPROCESS_SSL_VERIFY_SERVER_CERT: "true" });
        const key = files.find(({ path }) => path === env.LIBPROCESS_SSL_KEY_FILE);
        expect([key?.mode, key?.uid ?? service.uid]).toEqual(["0600", service.uid]);
        const certificate = contentOf(service, String(env.LIBPROCESS_SSL_CERT_FILE));
        expect(certificate).not.toBe("");
        expect(contentOf(service, String(env.LIBPROCESS_SSL_CA_FILE))).not.toBe("");
        return contentOf(service, String(env.LIBPROCESS_SSL_KEY_FILE));
      });
      expect(new Set(keys).size).toBe(talking.length);
    },
  );

  test("executors that are their task's user show a certificate of theirs, and not their agent's", () => {
    const agent = serviceOf(onDocker({ architecture: "vanilla" }), "mesos-agent");
    const given = JSON.parse(String(agent.env.MESOS_executor_environment_variables));
    expect(given.LIBPROCESS_SSL_ENABLED).toBe("true");
    const key = agent.files.find(({ path }) => path === given.LIBPROCESS_SSL_KEY_FILE);
    expect([key?.mode, key?.uid]).toEqual(["0600", SPARK_UID]);
    expect(given.LIBPROCESS_SSL_KEY_FILE).not.toBe(agent.env.LIBPROCESS_SSL_KEY_FILE);
  });

  test("no key that tasks or notebooks read is good for a service outside of Mesos, at the same address", () => {
    const cluster = define({ ...CLOUD, architecture: "vanilla", mesosSource: MESOS_SOURCE, monitoring: true });
    const [store, notebook, agent] = ["log-store", "jupyter", "mesos-agent"].map((name) => serviceOf(cluster, name));
    const made = (service: Service | undefined, path: string): X509Certificate[] => {
      const file = service?.files.find((one) => one.path === path);
      if (file?.content.format !== "text") throw new Error(`no ${path}`);
      const pem = fill(file.content.text, () => "s".repeat(32));
      return (
        pem.match(/-----BEGIN[A-Za-z0-9+/=\s-]+?END CERTIFICATE-----/g)?.map((one) => new X509Certificate(one)) ?? []
      );
    };
    const [services] = made(store, "/etc/triplewide/authority.crt");
    const [libprocess] = made(notebook, "/etc/libprocess/authority.pem");
    const vouched = (by: X509Certificate | undefined, whom: X509Certificate[]) =>
      whom.map((one) => by !== undefined && one.verify(by.publicKey));
    const [kept, driver] = [
      made(store, "/etc/triplewide/log-store.crt"),
      made(notebook, "/etc/libprocess/certificate.pem"),
    ];
    expect(kept[0]?.subjectAltName).toBe(driver[0]?.subjectAltName);
    expect([vouched(services, kept), vouched(libprocess, driver)]).toEqual([[true], [true]]);
    expect(vouched(services, [...driver, ...made(agent, "/etc/libprocess/executor-certificate.pem")])).toEqual([
      false,
      false,
    ]);
    expect(vouched(libprocess, kept)).toEqual([false]);
  });

  test("those that are root speak as their agent, whatever the task says, and tasks hear nothing of it", () => {
    const agent = serviceOf(onDocker({ architecture: "docker-executors" }), "mesos-agent");
    expect(contentOf(agent, "/etc/mesos/libprocess.env")).toContain(
      `LIBPROCESS_SSL_KEY_FILE=${agent.env.LIBPROCESS_SSL_KEY_FILE}\n`,
    );
    expect(String(agent.env.MESOS_executor_environment_variables)).not.toContain("SSL");
  });

  test.each([
    ["a laptop", { platform: "docker" }],
    ["machines", { ...CLOUD, mesosSource: MESOS_SOURCE, sharedStorage: "none" }],
  ] as const)(
    "on %s masters know drivers of the hub's users by the guard's authority, and nobody else does",
    (_, raw) => {
      const cluster = define({ architecture: "docker-executors", notebooks: "hub", users: { ann: {} }, ...raw });
      const guard = serviceOf(cluster, "hub-guard");
      const { libprocess, env, files } = JSON.parse(contentOf(guard, "/etc/hub/guard.json"));
      const authority = contentOf(guard, libprocess.authority);
      const trusted = (name: string) => contentOf(serviceOf(cluster, name), "/etc/libprocess/authority.pem");
      expect(trusted("mesos-master")).toBe(trusted("mesos-agent") + authority);
      expect(trusted("jupyter")).toBe(trusted("mesos-agent"));
      expect(trusted("hub-guard")).toBe(trusted("mesos-agent"));
      // Neither this key nor one of the client's is given to a user's server.
      const given = files.filter((path: string) => path.startsWith("/etc/libprocess"));
      expect(given).toEqual(["/etc/libprocess/authority.pem"]);
      expect(env).toMatchObject({ LIBPROCESS_SSL_ENABLED: "true", LIBPROCESS_SSL_KEY_FILE: libprocess.key });
      const key = guard.files.find(({ path }) => path === libprocess.authorityKey);
      expect([key?.mode, key?.uid ?? guard.uid]).toEqual(["0600", 0]);
    },
  );

  test("the pages are HTTPS to the gateway, to what measures them and to people", () => {
    const cluster = onDocker({ architecture: "vanilla", monitoring: true });
    const caddy = contentOf(serviceOf(cluster, "gateway"), "/etc/gateway/caddy.json");
    expect(caddy).toContain('"tls":{"root_ca_pem_files":["/etc/gateway/service-authority.pem"]}');
    expect(contentOf(serviceOf(cluster, "gateway"), "/etc/gateway/service-authority.pem")).not.toBe("");
    const asked = targetsOf(cluster, cluster.services).filter(({ labels }) => /^mesos/.test(labels.job ?? ""));
    expect(asked.map(({ labels }) => labels.__param_scheme)).toEqual(asked.map(() => "https"));
    const pages = publishedLinks(cluster).filter(({ service }) => service.startsWith("mesos-"));
    expect(pages.map(({ https }) => https)).toEqual(pages.map(() => true));
    expect(pages.length).toBeGreaterThan(0);
  });

  test("a Mesos that was built without SSL is found when its image is built", () => {
    const { config } = onDocker({ architecture: "vanilla", mesosSource: MESOS_SOURCE });
    expect(mesosParts(MESOS_SOURCE, config)).toBe("daemons java tls");
    expect(mesosParts(MESOS_SOURCE, { ...config, mesosTls: false })).toBe("daemons java");
  });
});

test("is refused where it has no effect, or somebody would be left without a certificate", () => {
  const rules = (raw: RawConfig): string[] =>
    problems({ platform: "docker", mesosTls: true, ...raw })
      .filter(({ key }) => key === "mesosTls")
      .map(({ rule }) => rule);
  expect(rules({ architecture: "vanilla" })).toEqual([]);
  expect(rules({ architecture: "standalone" })).toEqual(["false in architecture standalone, which has no Mesos"]);
  expect(rules({ architecture: "marathon-standalone" })).toEqual([]);
  expect(rules({ architecture: "vanilla", notebooks: "hub", users: { ann: {} } })).toEqual([]);
  expect(rules({ architecture: "vanilla", mesosFrameworks: ["flink"] })[0]).toContain("have no certificates");
});

describe("a probe by HTTPS", () => {
  const folder = mkdtempSync(join(tmpdir(), "triplewide-tls-"));
  const servers: Server[] = [];
  afterAll(() => {
    for (const server of servers) server.close();
    rmSync(folder, { recursive: true });
  });
  async function listen(server: Server): Promise<number> {
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return (server.address() as AddressInfo).port;
  }

  /** A server with a certificate for an address. */
  function shown(address: string): Promise<number> {
    const tls = shownHere("a", address);
    expect(new X509Certificate(tls.cert).subjectAltName).toContain(address);
    return listen(createServer(tls, (socket) => socket.once("data", () => socket.end("HTTP/1.0 200 OK\r\n\r\nyes"))));
  }

  /** Exit code of the probe that trusts the authority made of a seed. */
  async function code(port: number, seed: string, match = "^yes"): Promise<number> {
    const authorityFile = join(folder, `${seed}.pem`);
    writeFileSync(authorityFile, authorityHere(seed));
    const [program = "", ...args] = probeCommand(http("127.0.0.1", port, "/", match, { authorityFile }));
    return promisify(execFile)(program, args).then(
      () => 0,
      (error) => error.code,
    );
  }

  test("hears whom its authority vouches for, at this address", async () => {
    const port = await shown("127.0.0.1");
    expect(await code(port, "a")).toBe(0);
    expect(await code(port, "a", "^no")).not.toBe(0);
    expect(await code(port, "b")).not.toBe(0);
    expect(await code(await shown("127.0.0.2"), "a")).not.toBe(0);
  });

  test.each([
    ["127.0.0.1/32", 0],
    ["10.0.0.0/8", 1],
  ])(
    "hears drivers of the hub's users by an authority that may vouch for %s: exit code %j",
    async (permitted, heard) => {
      const issuer = issuerOf({ clusterName: "here" }, "drivers", permitted);
      const path = (name: string) => join(folder, `${name}-${heard}.pem`);
      const [authorityFile, authorityKey] = [path("issuer"), path("issuer-key")];
      const filled = (value: Value): string => fill(value, () => "s".repeat(32));
      writeFileSync(authorityFile, filled(issuer.certificate));
      writeFileSync(authorityKey, filled(issuer.key));
      const ask = `import json, sys
sys.path.insert(0, sys.argv[1])
import guard
policy = {"libprocess": {"authority": sys.argv[2], "authorityKey": sys.argv[3], "certificate": "cert", "key": "key"}}
print(json.dumps([guard.Guard(policy, None, None).identity("ann", "127.0.0.1") for _ in range(2)]))`;
      const args = ["-Bc", ask, join(ROOT, "images/hub"), authorityFile, authorityKey];
      const [ann, again] = JSON.parse((await promisify(execFile)("python3", args)).stdout);
      expect(ann.key).not.toBe(again.key);
      const shown = new X509Certificate(ann.cert);
      expect([shown.subjectAltName, shown.ca]).toEqual(["IP Address:127.0.0.1", false]);
      const port = await listen(
        createServer(ann, (socket) => socket.once("data", () => socket.end("HTTP/1.0 200 OK\r\n\r\nyes"))),
      );
      const [program = "", ...words] = probeCommand(http("127.0.0.1", port, "/", "^yes", { authorityFile }));
      const said = promisify(execFile)(program, words).then(
        () => 0,
        () => 1,
      );
      expect(await said).toBe(heard);
    },
  );

  test("hears nobody who speaks plain HTTP", async () => {
    const plain = createPlain((socket) => socket.once("data", () => socket.end("HTTP/1.0 200 OK\r\n\r\nyes")));
    expect(await code(await listen(plain), "a")).not.toBe(0);
  });
});
