import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { theDoor } from "./door.ts";
import { firstDay } from "./first-day.ts";
import { eventually, TestCluster } from "./harness.ts";
import { Measured } from "./measured.ts";
import { tutorials } from "./tutorials.ts";

const d = await findDocker();
const cluster = new TestCluster(d, "tw-standalone", 0, ["agentCount=2", "tls=own", "monitoring=true"]);

const metrics = new Measured(cluster);

/** The first steps of a user with files. */
const FILES = readFileSync(join(ROOT, "tests/cluster/files.py"), "utf8");

/** A job whose data repeats one word. */
const MARKED_JOB = readFileSync(join(ROOT, "tests/cluster/marked_job.py"), "utf8");

const REPORT_VERSIONS = ["python", "numpy", "pandas", "pyarrow", "java", "spark", "pyspark"];

describe("make up, on the embedded default", () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  test("a taken port is named with its key, and nothing is started", async () => {
    const server = createServer().listen(18888, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    try {
      const { code, output } = await cluster.cli("up", ["--no-smoke"]);
      expect(code).toBe(1);
      expect(output).toContain("jupyterPort: 127.0.0.1:18888 is taken by another program");
      expect(await cluster.traces()).toEqual([]);
    } finally {
      server.close();
    }
  });

  test("up starts the cluster, runs the smoke job and says where things are", async () => {
    const { code, output } = await cluster.cli("up");
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(output).toContain("2 executors took part");
    expect(output).toMatch(/Open +https:\/\/127\.0\.0\.1:18090\/login#[A-Za-z0-9]{32}\n +JupyterLab, Spark, Metrics\./);
    expect(output).toContain("spark://10.98.0.16:17077");
    expect(code).toBe(0);
  });

  test("doctor finds nothing that stops an up, and its bundle has every log and no secret", async () => {
    const folder = mkdtempSync(join(tmpdir(), "triplewide-bundle-"));
    try {
      const bundle = join(folder, "b.tar.gz");
      const { code, output } = await cluster.cli("doctor", ["--bundle", bundle]);
      expect({ code, output }).toMatchObject({
        code: 0,
        output: expect.stringContaining("Nothing was found that stops"),
      });
      const text = execFileSync("tar", ["-xzOf", bundle], { encoding: "utf8", maxBuffer: 2 ** 28 });
      expect(text).toContain("Starting Spark worker");
      expect(text).toContain("Jupyter Server");
      const secrets = Object.values(
        JSON.parse(readFileSync(join(ROOT, ".triplewide", cluster.name, "secrets.json"), "utf8")),
      );
      expect(secrets.length).toBeGreaterThan(1);
      for (const secret of secrets) expect(text).not.toContain(secret);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("who breaks into a container is nobody in it: no capability, no way to gain one, no program to change", async () => {
    for (const machine of ["master-1", "agent-1", "client"]) {
      const status = (await cluster.exec(machine, ["cat", "/proc/1/status"])).output;
      for (const line of [/^Uid:\t1000\t/m, /^CapPrm:\t0+$/m, /^CapBnd:\t0+$/m, /^NoNewPrivs:\t1$/m]) {
        expect(status, machine).toMatch(line);
      }
      const { output } = await cluster.exec(machine, ["sh", "-c", "touch /opt/spark/bin/planted; su -c id </dev/null"]);
      expect(output, machine).toMatch(/planted'?: (Permission denied|Read-only file system)/);
      expect(output, machine).not.toContain("uid=0");
      const limit = await cluster.exec(machine, [
        "sh",
        "-c",
        "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max",
      ]);
      expect(limit.output, machine).toContain("32768");
    }
    // On machines that run no user's programs, only the service's own folders are writable, and /tmp has a size limit.
    const inMaster = (script: string) => cluster.exec("master-1", ["sh", "-c", script]);
    expect((await inMaster("touch /home/spark/planted")).output).toContain("Read-only file system");
    expect((await inMaster("touch /var/lib/spark/kept && echo written")).output).toContain("written");
    expect((await inMaster("head -c 300M /dev/zero >/tmp/big; rm /tmp/big")).output).toContain(
      "No space left on device",
    );
  });

  test("smoke --json reports versions of driver and executors, tasks and seconds of each stage", async () => {
    const { code, output } = await cluster.cli("smoke", ["--json"]);
    const report = JSON.parse(output.slice(output.indexOf("{")));
    expect(report.ok).toBe(true);
    expect(Object.keys(report.driver).sort()).toEqual([...REPORT_VERSIONS].sort());
    for (const executor of Object.values(report.executors)) expect(executor).toEqual(report.driver);
    expect(Object.keys(report.tasks).length).toBe(2);
    expect(report.rows).toBe(327346);
    expect(report.stages["grouped pandas UDF"]).toBeGreaterThan(0);
    expect(code).toBe(0);
  });

  test("a second up changes nothing and says so", async () => {
    const { code, output } = await cluster.cli("up", ["--no-smoke"]);
    expect(output).toContain("Nothing to change: the cluster is as the config says.");
    expect(code).toBe(0);
  });

  test("another checkout does not take over a cluster of the same name", async () => {
    const other = mkdtempSync(join(tmpdir(), "checkout-"));
    try {
      const left = new Set(["node_modules", ".git", ".triplewide"]);
      const folders = readdirSync(ROOT).filter((name) => !left.has(name));
      for (const name of folders) cpSync(join(ROOT, name), join(other, name), { recursive: true });
      symlinkSync(join(ROOT, "node_modules"), join(other, "node_modules"));
      const { code, output } = await cluster.cli("up", ["--no-smoke"], [], other);
      expect(output).toContain(`that was brought up in ${resolve(ROOT)} is on this machine; nothing was changed`);
      expect(code).toBe(1);
    } finally {
      rmSync(other, { recursive: true });
    }
  });

  test("Jupyter refuses without the token and answers with it", async () => {
    const base = "http://127.0.0.1:18888/jupyter";
    expect((await fetch(`${base}/api/contents`)).status).toBe(403);
    const token = (await cluster.exec("client", ["cat", "/run/secrets/jupyter-token"])).output.trim();
    expect((await fetch(`${base}/api/contents?token=${token}`)).status).toBe(200);
    // And without the prefix that its paths have behind the gateway.
    const plain = "http://127.0.0.1:18888";
    expect((await fetch(`${plain}/api/contents`)).status).toBe(403);
    expect(await (await fetch(`${plain}/api/status?token=${token}`)).json()).toHaveProperty("kernels");
    expect(await (await fetch(`${plain}/lab?token=${token}`)).text()).toContain("JupyterLab");
  });

  theDoor(cluster, ["JupyterLab", "Spark", "Metrics"]);

  test("files, tables and models that a notebook writes are there for drivers and executors", async () => {
    const { code, output } = await cluster.exec("client", ["python3", "-c", FILES]);
    expect(code, output).toBe(0);
    expect(JSON.parse(/^found: (.*)$/m.exec(output)?.[1] ?? "{}")).toEqual({
      "relative parquet, by Spark": 1000,
      "relative parquet, by pandas": 1000,
      "absolute csv": 1000,
      table: 1000,
      "table's files": 1000,
      "uploaded csv": 7,
      model: 1000,
      "executors' user": [1000],
      "executors see the file": true,
    });
  });

  tutorials(cluster);

  test("a script says what its job waits for, and what to do about an error, as a notebook does", async () => {
    await cluster.bring("too_large.py", "no_such_file.py");
    // The test waits for a message on the script's standard error. Python runs it: spark-submit does not pass standard input on to scripts.
    const script = cluster.converse("client", ["sh", "-c", "exec python3 /tmp/too_large.py 2>&1"]);
    await script.until("triplewide: this script waits for executors: an executor needs 921600 MiB and no agent");
    await script.end();
    const { code, output } = await cluster.exec("client", ["spark-submit", "/tmp/no_such_file.py"]);
    expect(code).toBe(1);
    expect(output).toMatch(/PATH_NOT_FOUND[\s\S]*\ntriplewide: Spark takes ~ for the name of a folder/);
    const exported = await cluster.exec("client", ["python3", "-c", "spark.range(5)"]);
    expect(exported.output).toMatch(/NameError[\s\S]*\ntriplewide: only notebooks have spark by themselves/);
    const right = `from pyspark.sql import SparkSession; print(SparkSession.builder.getOrCreate().range(5).count(), "rows")`;
    expect((await cluster.exec("client", ["python3", "-c", right])).output).not.toContain("triplewide:");
  });

  test("drivers and executors start from the archives of Java's classes", async () => {
    await cluster.bring("class_archives.py");
    const { output } = await cluster.exec("client", ["python3", "/tmp/class_archives.py"]);
    expect(output).toContain("driver: driver.jsa executor.jsa\n");
    expect(output).toContain("executors: executor.jsa\n");
  });

  firstDay(cluster);

  test("the catalogue of tables answers on the client, and to no other machine", async () => {
    const connect = (machine: string, host: string) =>
      cluster.exec(machine, ["bash", "-c", `exec 3<>/dev/tcp/${host}/9083`]);
    expect((await connect("client", "127.0.0.1")).code).toBe(0);
    const { code, output } = await connect("agent-1", "10.98.0.11");
    expect(output).toContain("Connection refused");
    expect(code).not.toBe(0);
  });

  test("nobody reads what jobs send each other, nor what they leave on agents' disks while they run", async () => {
    // One word is sent in plain text, the other by an encrypted job. The listener must see the first: that shows that it works.
    const [plain, hidden] = ["plain-word-on-the-wire", "word-of-a-job-that-nobody-reads"];
    let output = "";
    const seen = await cluster.eavesdrop("client", [plain, hidden], async () => {
      ({ output } = await cluster.exec("client", ["python3", "-c", MARKED_JOB, hidden]));
      const page = `import urllib.request as u; u.urlopen("http://10.98.0.16:18080/?${plain}").read()`;
      await cluster.exec("client", ["python3", "-c", page]);
    });
    expect(seen).toEqual([plain]);
    const report = JSON.parse(/^job: (.*)$/m.exec(output)?.[1] ?? "{}");
    expect(report.readable, output.slice(-2000)).toEqual([]);
    expect(report.bytes).toBeGreaterThan(20_000 * hidden.length);
  });

  test("a few of Spark's own examples run, each by spark-submit; the layer `examples` runs all", async () => {
    await cluster.bring("spark_examples.py");
    const names = ["sql/basic.py", "sql/arrow.py", "streaming/hdfs_wordcount.py", "ml/pipeline_example.py"];
    const { output } = await cluster.exec("client", ["python3", "/tmp/spark_examples.py", ...names]);
    const lines = output.split("\n").filter((line) => line.startsWith("{"));
    const ran = lines.map((line) => JSON.parse(line) as { name: string; ok: boolean });
    expect(ran.filter(({ ok }) => !ok)).toEqual([]);
    expect(ran.map(({ name }) => name).sort()).toEqual([...names].sort());
  });

  test("every service is measured, each at the place that its port names, and nobody deletes what was measured", async () => {
    await metrics.well();
    const found = (await metrics.vector('up{optional=""} == 1')).map(({ metric }) => `${metric.machine} ${metric.job}`);
    const workers = ["agent-1 spark-worker", "agent-2 spark-worker"];
    const ofClient = ["client gateway", "client jupyter", "client machine", "client metastore", "client prometheus"];
    expect(found.sort()).toEqual([...workers, ...ofClient, "master-1 spark-master"]);
    expect(await metrics.vector("metrics_master_aliveWorkers_Value")).toMatchObject([
      { value: [expect.anything(), "2"] },
    ]);
    // The gateway's own certificates are valid for twelve hours and renewed when a third of that is left.
    const left = await metrics.vector("certificate_not_after_timestamp_seconds - time()");
    expect(left.map(({ metric, value }) => [metric.job, Number(value[1]) > 3 * 3600])).toEqual([["gateway", true]]);
    const forget = (path: string) => metrics.door.get(path, { method: "POST" });
    expect((await forget("/metrics/api/v1/admin/tsdb/delete_series?match[]=up")).status).toBe(405);
    const around = "http://127.0.0.1:9090/api/v1/admin/tsdb/delete_series?match[]=up";
    const script = `import urllib.request as u, urllib.error as e
try: print(u.urlopen(u.Request("${around}", method="POST")).read())
except e.HTTPError as refused: print(refused.read())`;
    const { output } = await cluster.exec("client", ["python3", "-c", script]);
    expect(output).toContain("admin APIs disabled");
  });

  test("a worker is killed in mid-job and the job still ends right; the dashboard says that it is gone", async () => {
    const job = [
      "import time",
      "from pyspark.sql import SparkSession",
      "spark = SparkSession.builder.appName('kill').getOrCreate()",
      "def slow(n):",
      "    time.sleep(1)",
      "    return n * n",
      "print('sum is', spark.sparkContext.parallelize(range(60), 60).map(slow).sum())",
    ].join("\n");
    const running = cluster.exec("client", ["python3", "-c", job]);
    await eventually(
      "an executor on agent-2",
      90,
      () =>
        cluster.exec("agent-2", ["pgrep", "-f", "CoarseGrainedExecutorBackend"]).catch(() => ({ code: 1, output: "" })),
      (r) => r.code === 0,
    );
    // Each task takes a second, so the job still has tasks to run when metrics show the first completed ones.
    const executors = 'metrics_executor_completedTasks_total{executor_id!="driver",application_name="kill"} > 0';
    await metrics.until(executors, (series) => series.length > 0);
    await cluster.kill("agent-2");
    await metrics.fires("AgentLost", "agent-2");
    // The dashboard shows this number of workers.
    expect(await metrics.vector('sum(up{job="spark-worker"})')).toMatchObject([{ value: [expect.anything(), "1"] }]);
    const { code, output } = await running;
    expect(output).toContain(`sum is ${(59 * 60 * 119) / 6}`);
    expect(code).toBe(0);
  });

  test("up brings the killed worker back and touches nothing else", async () => {
    const { code, output } = await cluster.cli("up", ["--no-smoke"]);
    expect(output).toContain("Changed: tw-standalone-agent-2\n");
    expect(output).toContain("2 Spark workers registered");
    expect(code).toBe(0);
  });

  test("one worker more changes no other machine: a job asks for its share when it starts", async () => {
    // Devices that every Linux has, and that containers do not get by default, stand in for a GPU and its driver's devices.
    const agentGroups = { gpu: { count: 1, gpus: ["/dev/kmsg"], devices: ["/dev/fuse"] } };
    const { code, output } = await cluster.cli("up", ["--no-smoke"], [`agentGroups=${JSON.stringify(agentGroups)}`]);
    expect(output).toContain("Changed: tw-standalone-agent-gpu-1\n");
    expect(code).toBe(0);
  });

  test("tasks that ask for a GPU run where one is, are told its address, and see its device", async () => {
    const job = readFileSync(join(ROOT, "tests/cluster/gpu_job.py"), "utf8");
    const { code, output } = await cluster.exec("client", ["timeout", "180", "python3", "-c", job]);
    expect(output).toContain("seen: ['agent-gpu-1 gpu 0, /dev/fuse True, /dev/kmsg True']");
    expect(code).toBe(0);
  });

  test("an invalid config changes nothing", async () => {
    const before = await cluster.traces();
    const { code, output } = await cluster.cli("up", [], ["masterCount=2"]);
    expect(code).toBe(2);
    expect(output).toContain("masterCount: got 2");
    expect((await cluster.traces()).sort()).toEqual(before.sort());
  });

  test("down keeps data, down with volumes leaves nothing: no container, network, volume or file", async () => {
    await cluster.exec("client", ["touch", "/home/spark/work/kept.ipynb"]);
    // A notebook that nobody closed: `down` ends its session, and after the next `up` the master finds its entry in the recovery folder.
    await cluster.bring("held_job.py");
    const held = cluster.exec("client", ["python3", "/tmp/held_job.py"]);
    const holds = () => cluster.exec("client", ["test", "-e", "/tmp/held"]);
    await eventually("a session that holds an executor", 120, holds, (r) => r.code === 0);
    // The empty entry that a master leaves when it is killed while it writes.
    expect((await cluster.exec("master-1", ["touch", "/var/lib/spark/recovery/app_cut-off"])).code).toBe(0);
    await cluster.cli("down");
    await held;
    await cluster.cli("up", ["--no-smoke"]);
    expect((await cluster.exec("agent-1", ["ls", "/home/spark/work"])).output).toContain("kept.ipynb");
    const count = "print('rows:', SparkSession.builder.getOrCreate().table('numbers').count())";
    const script = `from pyspark.sql import SparkSession\n${count}`;
    // A master that still waited for the old session would never serve this one, which has the same address.
    expect((await cluster.exec("client", ["timeout", "600", "python3", "-c", script])).output).toContain("rows: 1000");
    const kept = await cluster.cli("down");
    expect(kept.output).toContain("4 volumes are kept");
    expect((await cluster.traces()).length).toBe(4);
    const gone = await cluster.cli("down", ["--volumes"]);
    expect(gone.code).toBe(0);
    expect(await cluster.traces()).toEqual([]);
    expect(existsSync(join(ROOT, ".triplewide", cluster.name))).toBe(false);
  });

  test("Ctrl-C in the middle of up leaves nothing behind", async () => {
    const child = cluster.start("up", ["--no-smoke"]);
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes("healthy")) child.kill("SIGINT");
    });
    expect(await ended).toBe(130);
    expect(output).toContain("Interrupted: removing what this run started.");
    expect(await cluster.traces()).toEqual([]);
    expect(existsSync(join(ROOT, ".triplewide", cluster.name))).toBe(false);
  });
});
