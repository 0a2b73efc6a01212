import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SPARK_VERSION } from "../../config/versions.ts";
import { captured } from "../../lib/exec.ts";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { Door } from "./door.ts";
import { eventually, TestCluster } from "./harness.ts";

/** Spark Connect from a virtual environment on this machine. All that it has of the cluster is the output of `triplewide connect`. */
const d = await findDocker();
const INDEX = 6;
const CONNECT_PORT = 15002 + 10000 + 1000 * INDEX;
let cluster: TestCluster;
let folder: string;
let said: string;
/** Environment for trusting the cluster's authority; the lines that `triplewide connect` prints set the same. */
const trusting = { GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: "cluster.pem" };

/** Runs a program of the virtual environment. */
async function python(program: string, input = ""): Promise<{ code: number | null; output: string }> {
  // The timeout is long because a client tries for minutes if no server answers.
  const child = spawn(join(folder, "bin/python"), [program], {
    cwd: folder,
    stdio: ["pipe", "pipe", "pipe"],
    timeout: 600_000,
    env: { ...process.env, ...trusting },
  });
  child.stdin.end(input);
  const code = new Promise<number | null>((resolve) => child.on("close", resolve));
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const ended = await code;
  return { code: ended, output: ended === 0 ? out : errors };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "triplewide-connect-"));
  cluster = new TestCluster(d, "tw-connect", INDEX, [
    "agentCount=2",
    "sparkConnect=true",
    "tls=own",
    "domain=localhost",
    `sparkConnectPort=${CONNECT_PORT}`,
    `sparkConnectUiPort=${CONNECT_PORT + 1}`,
    'sparkConf={"spark.dynamicAllocation.executorIdleTimeout":"10s"}',
  ]);
  await cluster.cli("down", ["--volumes"]);
  const up = await cluster.cli("up", ["--no-smoke"]);
  expect(up.code, up.output).toBe(0);
  const connect = await cluster.cli("connect");
  expect(connect.code, connect.output).toBe(0);
  said = connect.output;
  const certificate = await cluster.cli("certificate");
  expect(certificate.code, certificate.output).toBe(0);
  writeFileSync(join(folder, "cluster.pem"), certificate.output);
  // The line for the shell as it is printed. The comment in it tells users how to get to such a shell.
  const install = /pip install .*/.exec(said)?.[0] ?? "";
  const made = await captured("bash", [
    "-c",
    `python3.11 -m venv '${folder}' && . '${folder}/bin/activate' && ${install} --quiet --disable-pip-version-check`,
  ]);
  expect(made.code, made.output).toBe(0);
});

afterAll(async () => {
  await cluster?.cli("down", ["--volumes"]);
  rmSync(folder, { recursive: true, force: true });
});

test("a program on another computer works with executors, tables and files of the cluster", async () => {
  const inside = [
    'open("/home/spark/work/note.txt", "w").write("a line\\n")',
    'spark.createDataFrame([(1, "x"), (2, "y")], ["id", "name"]).write.saveAsTable("from_inside")',
  ].join("\n");
  const made = await cluster.exec("client", ["ipython", "-c", inside]);
  expect(made.code, made.output).toBe(0);
  const { code, output } = await python(join(ROOT, "tests/cluster/connect_client.py"), said);
  expect(code, output).toBe(0);
  const done = JSON.parse(output.slice(output.indexOf("{")));
  expect(done).toMatchObject({
    version: SPARK_VERSION,
    sum: 249_500,
    half: 249_750,
    table: ["x", "y"],
    file: "a line",
    // The results of a stream's functions, which run beside the server.
    streamed: ["b", "c"],
    started: true,
  });
  expect(done.hosts[0]).toMatch(/^agent-/);
  // A folder that executors do not share.
  expect(done.refused).toEqual(Array(15).fill(expect.stringContaining("/tmp/scattered")));
});

test("Spark Connect gives its cores back when nobody uses it", async () => {
  const door = new Door(cluster);
  await door.trust();
  await door.logIn();
  await eventually(
    "no core in use",
    90,
    async () =>
      (await (await door.get("/spark/json/")).json()) as { coresused: number; activeapps: { name: string }[] },
    ({ coresused, activeapps }) => coresused === 0 && activeapps.some(({ name }) => name === "Spark Connect"),
  );
});

test("Spark Connect refuses who has not its token, and says so to clients of another Spark", async () => {
  const address = /remote\("([^"]+)"\)/.exec(said)?.[1] ?? "";
  const token = /;use_ssl=true;token=(\w+)$/.exec(address)?.[1] ?? "";
  expect(token).toHaveLength(32);
  const tried = join(ROOT, "tests/cluster/connect_refused.py");
  const refusals = async (remote: string, version = ""): Promise<string> =>
    (await python(tried, `${remote}\n${version}`)).output;
  expect(
    await refusals(
      address.replace(
        token,
        token.replace(/^./, (c) => (c === "a" ? "b" : "a")),
      ),
    ),
  ).toMatch(/UNAUTHENTICATED: the token is not that of this cluster/);
  expect(await refusals(address.replace(/;token=.*/, ""))).toMatch(/UNAUTHENTICATED: this server asks for a token/);
  expect(await refusals(address, "4.0.1")).toContain(
    `FAILED_PRECONDITION: this cluster runs Spark ${SPARK_VERSION}, and this client is of Spark 4.0.1`,
  );
  const lists = await cluster.exec("client", ["bash", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"]);
  expect(lists.output).not.toContain(token);
});
