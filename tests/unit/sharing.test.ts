import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createHttps } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster } from "../../cluster/types.ts";
import { placeholder } from "../../cluster/values.ts";
import { ARCHITECTURES } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { ROOT } from "../../lib/root.ts";
import { renderService } from "../../render/content.ts";
import { CLOUD } from "../fixtures/configs.ts";
import { authorityHere, shownHere } from "../fixtures/tls.ts";

const inCloud = (raw: RawConfig): Cluster => describeCluster(validate({ ...CLOUD, ...raw }, "test"));

function clientFile(cluster: Cluster, path: string): string | undefined {
  const client = cluster.services.find((s) => s.name === "jupyter");
  return client && renderService(client, placeholder).files.find((file) => file.path === path)?.content;
}

describe.each(ARCHITECTURES)("%s: jobs share the cluster", (architecture) => {
  test("unless the config says otherwise, they grow, shrink and take no more than their part", () => {
    const cluster = inCloud({ architecture, masterCount: 3, agentCount: 3 });
    expect(cluster.spark.conf).toMatchObject({
      "spark.dynamicAllocation.enabled": "true",
      "spark.dynamicAllocation.executorIdleTimeout": "60s",
      "spark.dynamicAllocation.cachedExecutorIdleTimeout": "1800s",
      "spark.shuffle.service.enabled": "true",
      "spark.executor.cores": "1",
    });
    // A driver whose executors fetch Spark has that script's options first.
    const asked = (cluster.spark.options ?? []).slice(architecture === "vanilla" ? 2 : 0);
    const kind = architecture.includes("standalone") ? "spark" : "mesos";
    expect(asked.slice(0, 3)).toEqual(["/usr/local/bin/fair-share", kind, "1"]);
    expect(asked.slice(3)).toHaveLength(3);
    const line = `SPARK_SUBMIT_OPTS="\${SPARK_SUBMIT_OPTS-} $(`;
    expect(clientFile(cluster, "/etc/spark/spark-env.sh")).toContain(line);
  });

  test("where agents come and go, a job asks for its part of all that may come", () => {
    if (architecture !== "standalone") return;
    const range = { agentsMin: 1, agentsMax: 8, agentCount: 2, agentGroups: { big: { count: 2 } } };
    expect(inCloud({ architecture, ...range }).spark.options?.[2]).toBe("1/10");
  });

  test("a bound of the config is the bound", () => {
    const cluster = inCloud({ architecture, coresMax: 6 });
    expect(cluster.spark.conf["spark.cores.max"]).toBe("6");
    expect(clientFile(cluster, "/etc/spark/spark-env.sh")).not.toContain("fair-share");
  });

  test("without dynamic allocation a job keeps what it has", () => {
    const { conf } = inCloud({ architecture, dynamicAllocation: false }).spark;
    expect(Object.keys(conf).filter((property) => /dynamicAllocation|shuffle|executor\.cores/.test(property))).toEqual(
      [],
    );
  });
});

test("idle kernels are ended after a set time, or never", () => {
  const env = (raw: RawConfig) =>
    inCloud(raw).services.find((s) => s.name === "jupyter")?.env.JUPYTER_CULL_IDLE_SECONDS;
  expect(env({})).toBe("43200");
  expect(env({ idleKernelMinutes: 5 })).toBe("300");
  expect(env({ idleKernelMinutes: 0 })).toBe("0");
});

describe("the part of a job, asked for when it starts", () => {
  const servers: Server[] = [];
  const folders: string[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  /** A master's page. @returns Its address. */
  function master(answer: (request: IncomingMessage) => object | undefined, tls?: object): Promise<string> {
    const listener: RequestListener = (request, response) => {
      const body = answer(request);
      response.statusCode = body ? 200 : 401;
      // Spark prints JSON with spaces around colons, Mesos without.
      response.end(
        request.url === "/json/" ? JSON.stringify(body, null, 2).replaceAll('":', '" :') : JSON.stringify(body),
      );
    };
    const server = tls === undefined ? createServer(listener) : createHttps(tls, listener);
    servers.push(server);
    return new Promise((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve(`127.0.0.1:${(server.address() as AddressInfo).port}`));
    });
  }

  const spark = (status: string, workers: number, coresOfEach: number) =>
    master(() => ({
      url: "spark://10.0.0.1:7077",
      workers: Array.from({ length: workers }, () => ({ cores: coresOfEach, coresfree: 0 })),
      aliveworkers: workers,
      cores: workers * coresOfEach,
      coresused: 1,
      status,
    }));

  async function ask(
    kind: "spark" | "mesos",
    cores: number | string,
    at: readonly string[],
    env = {},
  ): Promise<string> {
    const script = join(ROOT, "images/client/fair-share");
    const { stdout } = await promisify(execFile)("bash", [script, kind, String(cores), ...at], {
      env: { ...process.env, ...env },
    });
    return stdout.trim();
  }

  test.each([
    ["half of the cores", 4, 4, 1, "8"],
    ["one executor on each agent at least", 3, 1, 1, "3"],
    ["the same, with larger executors", 4, 4, 3, "12"],
    ["one executor, even where no agent is there yet", 1, 2, 4, "4"],
  ])("%s", async (_, workers, coresOfEach, executor, share) => {
    const at = [await spark("STANDBY", 0, 0), await spark("ALIVE", workers, coresOfEach)];
    expect(await ask("spark", executor, at)).toBe(`-Dspark.cores.max=${share}`);
  });

  test.each([
    ["half of the cores that there may be", 1, 4, "1/8", "16"],
    ["one executor on each agent that there may be", 1, 1, "1/6", "6"],
    ["no less than what there is", 4, 4, "1/2", "8"],
  ])("%s", async (_, workers, coresOfEach, executor, share) => {
    expect(await ask("spark", executor, [await spark("ALIVE", workers, coresOfEach)])).toBe(
      `-Dspark.cores.max=${share}`,
    );
  });

  test("Mesos answers to Spark's own login", async () => {
    const folder = mkdtempSync(join(tmpdir(), "fair-share-"));
    folders.push(folder);
    writeFileSync(join(folder, "spark-defaults.conf"), "spark.mesos.principal spark\nspark.mesos.secret s3cret\n");
    const login = `Basic ${Buffer.from("spark:s3cret").toString("base64")}`;
    let inactive = 0.0;
    const metrics = (elected: number, tls?: object) =>
      master(
        ({ url, headers }) =>
          url === "/metrics/snapshot" && headers.authorization === login
            ? {
                "master.cpus_total": 24.0,
                "master.elected": elected,
                "master.slaves_active": 3.0,
                "master.slaves_inactive": inactive,
              }
            : undefined,
        tls,
      );
    const at = [await metrics(0), await metrics(1)];
    // The login is on no command line, because others may see those.
    writeFileSync(join(folder, "curl"), `#!/bin/sh\necho "$@" >>${folder}/asked\nPATH="$WITHOUT" exec curl "$@"\n`, {
      mode: 0o755,
    });
    const seen = { PATH: `${folder}:${process.env.PATH}`, WITHOUT: process.env.PATH };
    expect(await ask("mesos", 1, at, { SPARK_CONF_DIR: folder, ...seen })).toBe("-Dspark.cores.max=12");
    const asked = readFileSync(join(folder, "asked"), "utf8");
    expect(asked.split("\n")).toHaveLength(3);
    expect(asked).not.toMatch(new RegExp(`${login.slice(6)}|Authorization|s3cret`));

    // Cores of a disconnected agent stay in the total until the master removes the agent.
    inactive = 1.0;
    expect(await ask("mesos", 1, at, { SPARK_CONF_DIR: folder })).toBe("-Dspark.cores.max=9");
    expect(await ask("mesos", "1/4", at, { SPARK_CONF_DIR: folder })).toBe("-Dspark.cores.max=12");
    inactive = 0.0;

    // By TLS, only to masters with a certificate of the authority.
    const authority = join(folder, "authority.pem");
    writeFileSync(authority, authorityHere("a"));
    const tls = { SPARK_CONF_DIR: folder, LIBPROCESS_SSL_ENABLED: "true", LIBPROCESS_SSL_CA_FILE: authority };
    expect(await ask("mesos", 1, [await metrics(1, shownHere("a"))], tls)).toBe("-Dspark.cores.max=12");
    expect(await ask("mesos", 1, [await metrics(1, shownHere("b"))], tls)).toBe("");
    expect(await ask("mesos", 1, at, tls)).toBe("");
  });

  test("a job is not bounded where no master answers", async () => {
    const at = [await spark("STANDBY", 2, 2), "127.0.0.1:1"];
    expect(await ask("spark", 1, at)).toBe("");
  });
});
