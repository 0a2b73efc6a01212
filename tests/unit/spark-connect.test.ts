import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { instructions } from "../../cli/connect.ts";
import { runProgram } from "../../cli/program.ts";
import { defineCluster } from "../../cluster/define.ts";
import { validate } from "../../cluster/load.ts";
import { encryptedRemote, sparkRemote } from "../../cluster/services/connect/connect.ts";
import type { Cluster, Service } from "../../cluster/types.ts";
import { fill, secretsIn } from "../../cluster/values.ts";
import { connectServer, pages, sshConfig } from "../../components/access.ts";
import { ARCHITECTURES } from "../../config/schema.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { publishedLinks } from "../../render/compose.ts";
import { CLOUD, mesosOf } from "../fixtures/configs.ts";
import { type StackFolder, stackFolder, TRIPLEWIDE } from "../fixtures/stack-folder.ts";

const checkout = readCheckout();
const define = (raw: Record<string, unknown>): Cluster => defineCluster(validate(raw, "test"), checkout);
const serverOf = (cluster: Cluster): Service => {
  const service = cluster.services.find(({ name }) => name === "spark-connect");
  if (!service) throw new Error("no Spark Connect");
  return service;
};
const propertiesOf = (service: Service): Readonly<Record<string, unknown>> => {
  const content = service.files.find(({ path }) => path.endsWith("/spark-defaults.conf"))?.content;
  return content?.format === "properties" ? content.properties : {};
};

describe.each(ARCHITECTURES)("Spark Connect in %s", (architecture) => {
  const raw = { ...CLOUD, ...mesosOf(architecture), architecture, sparkConnect: true, sparkConnectPort: 15100 };

  test("is a driver on the client like others, by a token that only the client has", () => {
    const cluster = define(raw);
    const service = serverOf(cluster);
    expect(service.machine).toBe("client");
    const jupyter = cluster.services.find(({ name }) => name === "jupyter");
    const own = ["/run/secrets/jupyter-token", "/run/secrets/spark-connect-token"];
    const paths = (s: Service | undefined) => s?.files.map(({ path }) => path).filter((path) => !own.includes(path));
    expect(paths(service)).toEqual(paths(jupyter));
    const environment = Object.entries(service.env).filter(([name]) => name !== "SPARK_CONNECT_TOKEN_FILE");
    expect(jupyter?.env).toMatchObject(Object.fromEntries(environment));
    expect(propertiesOf(service)).toMatchObject({
      "spark.master": cluster.spark.master,
      "spark.dynamicAllocation.enabled": "true",
      "spark.connect.grpc.interceptor.classes": "triplewide.connect.Door",
    });
    expect(cluster.secrets.find(({ name }) => name === "spark-connect-token")?.groups).toEqual(["client"]);
    expect(secretsIn([service.command, service.env])).toEqual([]);
  });

  test("goes through the same proxy, and registers for the same team", () => {
    const teams = architecture.includes("standalone")
      ? {}
      : { teams: { ml: { cpus: 1, memoryMiB: 4096 } }, defaultTeam: "ml" };
    const { env } = serverOf(define({ ...raw, httpProxy: "http://proxy.example.org:3128", ...teams }));
    expect(env.https_proxy).toBe("http://proxy.example.org:3128");
    expect(env.TRIPLEWIDE_TEAM).toBe("teams" in teams ? "ml" : undefined);
  });

  test("is reached from its own machine alone, where ssh's tunnel ends", () => {
    const cluster = define(raw);
    const rules = cluster.firewall.filter(
      ({ group, first, last }) => group === "client" && first <= 15100 && last >= 15100,
    );
    expect(rules.map(({ fromGroup, fromCidr }) => fromGroup ?? fromCidr)).toEqual([]);
    const address = cluster.machines.find(({ name }) => name === "client")?.address;
    expect(connectServer(cluster)).toEqual({ address, port: 15100 });
    expect(sshConfig(cluster, "198.51.100.1")).toContain(`LocalForward 15100 ${address}:15100\n`);
    expect(pages(cluster).map(({ port }) => port)).not.toContain(15100);
  });
});

describe("Spark Connect", () => {
  test("is there where it is asked for", () => {
    const cluster = define({ platform: "docker" });
    expect(cluster.services.map(({ name }) => name)).not.toContain("spark-connect");
    expect(connectServer(cluster)).toBeUndefined();
    const links = publishedLinks(define({ platform: "docker", sparkConnect: true }));
    expect(links).toContainEqual(expect.objectContaining({ kind: "sc", key: "sparkConnectPort", port: 15002 }));
  });

  test("keeps the jars of the config", () => {
    const jars = propertiesOf(
      serverOf(define({ platform: "docker", sparkConnect: true, sparkConf: { "spark.jars": "/opt/own.jar" } })),
    )["spark.jars"];
    expect(fill(jars, () => "")).toBe(
      "/opt/own.jar,/opt/spark-connect/spark-connect.jar,/opt/spark-connect/triplewide-connect.jar",
    );
  });

  test("is behind the gateway's TLS, past its login to a token of its own, and never behind plain HTTP", () => {
    const door = (more: Record<string, unknown>) =>
      JSON.stringify(
        define({ ...CLOUD, sparkConnect: true, sparkConnectPort: 15100, ...more }).services.find(
          ({ name }) => name === "gateway",
        )?.files[0],
      );
    expect(door({ tls: "own" })).toContain('"path":["/spark.connect.SparkConnectService/*"]');
    expect(door({ tls: "own" })).toContain('"dial":"10.72.0.11:15100"');
    // A link could lead a logged-in user's browser there too, which would send its cookie.
    expect(door({ tls: "own" })).toMatch(
      /"\/spark\.connect\.SparkConnectService\/\*"\]\}\],"handle":\[\{"handler":"headers","request":\{"delete":\["Cookie"\]\}\},/,
    );
    expect(door({})).not.toContain("SparkConnectService");
    expect(door({ tls: "own", sparkConnect: false })).not.toContain("SparkConnectService");
  });

  test("is refused with a driver that would keep its executors for ever", () => {
    expect(() => validate({ platform: "docker", sparkConnect: true, dynamicAllocation: false }, "test")).toThrow(
      /sparkConnect.*dynamicAllocation/s,
    );
  });
});

describe("triplewide connect", () => {
  test("prints three lines of Python, and what to install of the cluster's own versions", () => {
    const lines = instructions(sparkRemote(15002, "abc"), checkout.requirements).trimEnd().split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(
      /^# .*: pip install 'pyspark\[connect\]==3\.5\.\d+' 'pandas==[\d.]+' 'pyarrow==[\d.]+' 'numpy==[\d.]+'$/,
    );
    expect(lines[2]).toContain('"sc://localhost:15002/;authorization=Bearer%20abc"');
  });

  test("goes through the gateway where that is encrypted, and says whom to trust", () => {
    const remote = encryptedRemote("https://spark.example.org", "abc");
    expect(remote).toBe("sc://spark.example.org:443/;use_ssl=true;token=abc");
    expect(encryptedRemote("https://127.0.0.1:8090", "abc")).toBe("sc://127.0.0.1:8090/;use_ssl=true;token=abc");
    const lines = instructions(remote, checkout.requirements, "triplewide certificate --env prod").split("\n");
    expect(lines.slice(1, 4)).toEqual([
      "# once: triplewide certificate --env prod > cluster.pem",
      "import os",
      'os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = "cluster.pem"',
    ]);
  });

  test("says what to set where there is no Spark Connect", async () => {
    let said = "";
    const code = await runProgram(["connect"], { out: () => {}, err: (text) => (said += text) });
    expect(code).toBe(2);
    expect(said).toMatch(/"local" has no Spark Connect.*make up SET="sparkConnect=true"/);
  });
});

describe("triplewide connect on OpenStack", () => {
  let stack: StackFolder;
  beforeEach(() => {
    // Each call is a session that stays open.
    const ssh = `echo $$ >>"$STUBS/sessions"; echo "$*" >>"$STUBS/calls"; eval "\${@: -1}"`;
    const outputs = { sparkRemote: "sc://localhost:15002/;authorization=Bearer%20abc" };
    stack = stackFolder({ ...CLOUD, sparkConnect: true }, ssh, outputs);
  });
  afterEach(() => rmSync(stack.folder, { recursive: true, force: true }));

  /** Runs the command with its own port until it has printed its lines. */
  async function opened() {
    const port = await new Promise<number>((resolve) => {
      const server = createServer().listen(0, "127.0.0.1", () => {
        const { port: free } = server.address() as { port: number };
        server.close(() => resolve(free));
      });
    });
    const child = spawn(TRIPLEWIDE, ["connect", "--env", "prod", "--port", String(port)], stack.options);
    const said = { out: "", err: "" };
    const code = new Promise<number | null>((resolve) => child.on("close", resolve));
    child.stdout.on("data", (chunk: Buffer) => {
      said.out += chunk.toString();
    });
    const open = new Promise<void>((resolve) => {
      child.stderr.on("data", (chunk: Buffer) => {
        said.err += chunk.toString();
        if (said.err.includes("until Ctrl-C")) resolve();
      });
    });
    await Promise.race([open, code]);
    return { port, child, said, code };
  }

  test("opens a tunnel, prints the address through it, and closes both at Ctrl-C", async () => {
    const { port, child, said, code } = await opened();
    expect(said.out, said.err).toContain(`"sc://localhost:${port}/;authorization=Bearer%20abc"`);
    const client = connectServer(define({ ...CLOUD, sparkConnect: true }));
    expect(readFileSync(join(stack.folder, "calls"), "utf8")).toContain(
      `-L 127.0.0.1:${port}:${client?.address}:15002`,
    );
    child.kill("SIGINT");
    expect(await code).toBe(0);
  });

  test("says that the tunnel is gone when it is", async () => {
    const { said, code } = await opened();
    for (const pid of readFileSync(join(stack.folder, "sessions"), "utf8").trim().split("\n"))
      process.kill(Number(pid));
    expect(await code).toBe(1);
    expect(said.err).toMatch(/the tunnel to \S+ ended: its bastion closed it, or is gone/);
  });
});
