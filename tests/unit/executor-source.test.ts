import { execFile, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster } from "../../cluster/types.ts";
import { placeholder } from "../../cluster/values.ts";
import { ROOT } from "../../lib/root.ts";
import { renderService } from "../../render/content.ts";

const vanilla = (raw: Record<string, unknown>): Cluster =>
  describeCluster(validate({ platform: "docker", architecture: "vanilla", ...raw }, "test"));
const fromHdfs = { executorSource: "hdfs", datanodeCount: 1 };

describe("how executors get Spark in vanilla", () => {
  const named = (cluster: Cluster, name: string) => cluster.services.find((s) => s.name === name);

  test("http: the client serves it", () => {
    const cluster = vanilla({ executorSource: "http" });
    expect(cluster.spark.options?.slice(0, 3)).toEqual([
      "/usr/local/bin/executor-uri",
      expect.stringMatching(/^http:\/\/[\d.]+:8070$/),
      "/usr/local/bin/fair-share",
    ]);
    expect(named(cluster, "executor-http")?.command).toContain("/opt/spark-dist");
  });

  test("hdfs: the client uploads it, and agents have what Mesos' fetcher calls", () => {
    const cluster = vanilla(fromHdfs);
    expect(cluster.spark.options?.[1]).toMatch(/^hdfs:\/\/[\d.]+:8020\/spark$/);
    expect(named(cluster, "executor-upload")?.command.slice(2, 4)).toEqual(["/opt/spark-dist", "/spark"]);
    const agent = named(cluster, "mesos-agent");
    const client = agent?.files.find((f) => f.path === `${agent.env.MESOS_hadoop_home}/bin/hadoop`);
    expect(client?.mode).toBe("0755");
    expect(named(cluster, "namenode")?.ports.find((p) => p.name === "ui")?.from).toContain("agent");
    expect(named(cluster, "datanode")?.ports.find((p) => p.name === "ui")?.from).toContain("agent");
  });

  test("local: on this machine's Docker it is in the image already", () => {
    const { conf, env } = vanilla({ executorSource: "local" }).spark;
    expect(conf["spark.executor.uri"]).toBeUndefined();
    expect(env.SPARK_EXECUTOR_URI).toBeUndefined();
    expect(conf["spark.mesos.executor.home"]).toBe("/opt/spark");
  });

  test("what a name without a digest could hide is nowhere: Spark's own shells would take it", () => {
    for (const raw of [{ executorSource: "http" }, fromHdfs]) {
      const { spark, services } = vanilla(raw);
      expect(spark.conf["spark.executor.uri"]).toBeUndefined();
      for (const { env } of services) expect(env.SPARK_EXECUTOR_URI).toBeUndefined();
    }
  });

  test("files of people's own are not kept by their address", () => {
    const kept = (sparkConf: Record<string, string>) =>
      vanilla({ sparkConf }).spark.conf["spark.mesos.fetcherCache.enable"];
    const own = { "spark.mesos.uris": "http://files.example.org/data.csv" };
    expect([kept({}), kept(own), kept({ ...own, "spark.mesos.fetcherCache.enable": "true" })]).toEqual([
      undefined,
      "false",
      "true",
    ]);
  });
});

const python = await promisify(execFile)("python3", ["--version"]).then(
  () => true,
  () => false,
);

describe.skipIf(!python)("what Mesos' fetcher takes for a Hadoop client", () => {
  const dir = mkdtempSync(join(tmpdir(), "triplewide-fetcher-"));
  const servers: Server[] = [];
  afterAll(() => {
    for (const server of servers) server.close();
    rmSync(dir, { recursive: true });
  });

  async function serve(answer: (url: string) => [number, string, string?]): Promise<string> {
    const server = createServer((request, response) => {
      const [status, body, location] = answer(request.url ?? "");
      response.writeHead(status, location ? { location } : {}).end(body);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** Runs the script as on an agent, with other namenodes. */
  async function hadoop(namenodes: string[], ...args: string[]): Promise<{ code: number; output: string }> {
    const agent = vanilla(fromHdfs).services.find((s) => s.name === "mesos-agent");
    const files = agent ? renderService(agent, placeholder).files : [];
    const content = files.find((f) => f.path.endsWith("/bin/hadoop"))?.content ?? "";
    const path = join(dir, "hadoop");
    writeFileSync(path, content.replace(/^NAMENODES = .*$/m, `NAMENODES = ${JSON.stringify(namenodes)}`));
    return promisify(execFile)("python3", [path, ...args]).then(
      ({ stdout }) => ({ code: 0, output: stdout }),
      (error) => ({ code: error.code, output: error.stderr }),
    );
  }

  test("says that it is there", async () => {
    expect((await hadoop([], "version")).code).toBe(0);
  });

  test("reads from the active namenode's datanode, past a standby and a dead one", async () => {
    const datanode = await serve((url) => [200, `bytes of ${url}`]);
    const standby = await serve(() => [403, "StandbyException"]);
    const active = await serve((url) => [307, "", `http://${datanode}${url}`]);
    const target = join(dir, "spark.tgz");
    const args = ["fs", "-copyToLocal", "hdfs://cluster/spark/a b.tgz", target];
    expect(await hadoop(["127.0.0.1:1", standby, active], ...args)).toEqual({ code: 0, output: "" });
    expect(readFileSync(target, "utf8")).toBe("bytes of /webhdfs/v1/spark/a%20b.tgz?op=OPEN");
  });

  test("says how large a file is, as Mesos asks before it keeps one", async () => {
    const active = await serve((url) => [200, JSON.stringify({ FileStatus: { length: 4711, pathSuffix: url } })]);
    const uri = "hdfs://cluster/spark/spark-3.5.9-0123456789ab.tgz";
    expect(await hadoop([active], "fs", "-du", uri)).toEqual({ code: 0, output: `4711 ${uri}\n` });
  });

  test("names the datanode that it was sent on to in vain", async () => {
    const active = await serve((url) => [307, "", `http://datanode.invalid:9864${url}`]);
    const { code, output } = await hadoop([active], "fs", "-copyToLocal", "hdfs://c/x", join(dir, "x"));
    expect(code).toBe(1);
    expect(output).toMatch(/127\.0\.0\.1:\d+, which sent on to datanode\.invalid:9864: .*(not known|resolution)/);
  });

  test("says of each namenode why it gave nothing", async () => {
    const standby = await serve(() => [403, "StandbyException"]);
    const { code, output } = await hadoop(["127.0.0.1:1", standby], "fs", "-copyToLocal", "hdfs://c/x", join(dir, "x"));
    expect(code).toBe(1);
    expect(output).toMatch(
      /hdfs:\/\/c\/x cannot be read: 127\.0\.0\.1:1: .*refused.*; 127\.0\.0\.1:\d+: HTTP Error 403/,
    );
  });
});

describe("the tarball that executors get out of HDFS", () => {
  const home = mkdtempSync(join(tmpdir(), "triplewide-upload-"));
  const [image, hdfs, programs] = ["image", "hdfs", "programs"].map((name) => join(home, name)) as [
    string,
    string,
    string,
  ];
  for (const folder of [image, hdfs, programs]) mkdirSync(folder);
  writeFileSync(join(image, "spark-3.5.9.tgz"), "Spark of the image");
  symlinkSync("spark-3.5.9.tgz", join(image, "spark-3.5.9-0123456789ab.tgz"));
  const program = (name: string, text: string) =>
    writeFileSync(join(programs, name), `#!/bin/bash\n${text}\n`, { mode: 0o755 });
  // A folder stands in for HDFS; written files are in `put`.
  program(
    "hdfs",
    `case $2 in
      -mkdir) mkdir -p "$4" ;;
      -stat) stat -c %s "$4" ;;
      -put) echo "$4" >>${join(home, "put")}; cp -L "$4" "$5" ;;
      -rm) rm -f "\${@:5}" ;;
      -mv) mv "$3" "$4" ;;
      -ls) ls -d "$4"/* ;;
    esac`,
  );
  program("reader", 'cat "$3" >"$4"');
  // The script sleeps forever once all files are uploaded.
  program("sleep", "exit 0");
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  /** Runs the upload. @returns Its exit code and the number of written files. */
  function upload(): { code: number | null; written: number } {
    rmSync(join(home, "put"), { force: true });
    const script = join(ROOT, "cluster/services/client/executor-upload.sh");
    const { status } = spawnSync("bash", [script, image, hdfs, join(programs, "reader")], {
      env: { PATH: `${programs}:${process.env.PATH}` },
    });
    const put = existsSync(join(home, "put")) ? readFileSync(join(home, "put"), "utf8").trim().split("\n") : [];
    return { code: status, written: put.length };
  }
  const there = () => readdirSync(hdfs).map((name) => [name, readFileSync(join(hdfs, name), "utf8")]);
  const asInTheImage = [
    ["spark-3.5.9-0123456789ab.tgz", "Spark of the image"],
    ["spark-3.5.9.tgz", "Spark of the image"],
  ];

  test("is written once, and older images' go", () => {
    writeFileSync(join(hdfs, "spark-3.5.9-ba9876543210.tgz"), "an older one");
    expect(upload()).toEqual({ code: 0, written: 2 });
    expect(there()).toEqual(asInTheImage);
    expect(upload()).toEqual({ code: 0, written: 0 });
  });

  test.each(["spark-3.5.9.tgz", "spark-3.5.9-0123456789ab.tgz"])(
    "is written anew where another one of the same size has its place: %s",
    (name) => {
      writeFileSync(join(hdfs, name), "Planted, as long..");
      expect(upload()).toEqual({ code: 0, written: 2 });
      expect(there()).toEqual(asInTheImage);
    },
  );

  test("has no name that anybody looks for where agents would not read it as it is", () => {
    writeFileSync(join(hdfs, "spark-3.5.9.tgz"), "Planted, as long..");
    program("reader", "exit 1");
    expect(upload().code).toBe(1);
    expect(readdirSync(hdfs)).not.toContain("spark-3.5.9.tgz");
  });
});
