import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { localReference } from "../../cluster/images.ts";
import { EXECUTOR_SECRET } from "../../cluster/services/spark/executor-secret.ts";
import { pinnedVersions } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { eventually } from "../containers/harness.ts";
import { growsAndShrinks } from "./allocation.ts";
import { comesBackToAgents } from "./bans.ts";
import { OTHER, REDUNDANT, sharesMesos, survivesFaults } from "./faults.ts";
import { refusesForgeries } from "./forgeries.ts";
import { MesosCluster } from "./mesos-cluster.ts";
import { keepsSparkSecret } from "./secrets.ts";

const cluster = new MesosCluster(await findDocker(), "tw-executors", 3, [
  "architecture=docker-executors",
  ...REDUNDANT,
]);

describe("docker-executors: each executor a container of the worker image", () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  test("up: the smoke job is green", async () => {
    const { code, output } = await cluster.cli("up");
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(output).toMatch(/[2-9] executors took part/);
    expect(code).toBe(0);
  });

  test("tasks are containers that each belong to one agent", async () => {
    const job = cluster.jobOnEveryAgent(16);
    await eventually(
      "both agents run containers",
      90,
      () => Promise.all(["agent-1", "agent-2"].map((agent) => cluster.taskContainers(agent))),
      (found) => found.every((ids) => ids.length > 0),
    );
    expect((await job.done).output).toContain(job.says);
  });

  test.each([
    ["sleep 3", "TASK_FINISHED"],
    ["exit 3", "exited with status 3"],
  ])("a container of another framework that ends with %j", async (command, says) => {
    const image = localReference("spark-python", cluster.cluster.config, pinnedVersions(ROOT));
    const { output } = await cluster.otherFramework(OTHER, OTHER, {
      command,
      containerizer: "docker",
      docker_image: image,
    });
    expect(output).toContain(says);
  });

  test("with SPARK_USER=root Mesos refuses the tasks, and the notebook says why", async () => {
    const told = await cluster.refused({}, "SPARK_USER", ["SPARK_USER=root"]);
    expect(told.output).toContain("told: this session asks Mesos to run its executors as root");
    // The notebook shows its message before Mesos answers, so this also checks the master's refusal.
    const job = cluster.job(1, {}, ["SPARK_USER=root"], 90);
    const [leader = 0] = await cluster.leadingMasters();
    await eventually(
      "the master's refusal",
      90,
      () => cluster.logs(cluster.part(`master-${leader}`, "mesos-master")),
      (log) => /Principal 'spark' no\w* authorized to launch task .* under user 'root'/.test(log),
    );
    expect((await job.done).output).not.toContain("sum is");
  });

  test("another framework runs tasks as its own user, and as no other", async () => {
    for (const user of ["root", "spark", "nobody"]) {
      const { output } = await cluster.otherFramework(OTHER, OTHER, {}, user);
      expect(output, user).toContain(`under user '${user}'`);
      expect(output, user).not.toContain("TASK_FINISHED");
    }
    const own = await cluster.otherFramework(OTHER, OTHER, { command: "test $(id -un) = task-batch" });
    expect(own.output).toContain("TASK_FINISHED");
  });

  test.each([
    ["every right", { "spark.mesos.executor.docker.parameters": "privileged=true" }, "the option --privileged=true"],
    ["the machine's files", { "spark.mesos.executor.docker.volumes": "/:/host:rw" }, "the volume /:/host:rw"],
    ["the machine's processes", { "spark.mesos.executor.docker.parameters": "pid=host" }, "the option --pid=host"],
    ["root", { "spark.mesos.executor.docker.parameters": "user=0" }, "root as the user of a task"],
  ])("an executor that asks for %s is refused: in the notebook, and by name in its stderr", async (_, conf, reason) => {
    const { output } = await cluster.refused(conf, "status 125");
    expect(output).toContain("told: the agents refuse the executors' container (Container exited with status 125)");
    expect(output).not.toContain("ran ");
    const sandboxes = ["find", "/var/lib/mesos/agent/slaves", "-name", "stderr", "-exec", "cat", "{}", "+"];
    const said = await Promise.all(
      ["agent-1", "agent-2"].map((agent) => cluster.exec(cluster.part(agent, "mesos-agent"), sandboxes)),
    );
    expect(said.map((r) => r.output).join("\n")).toContain(`docker-guard: refused: ${reason}`);
  });

  test("a container of another framework is not given Spark's secret", async () => {
    const image = localReference("spark-python", cluster.cluster.config, pinnedVersions(ROOT));
    const volumes = JSON.stringify([{ container_path: "/token", host_path: EXECUTOR_SECRET, mode: "RO" }]);
    const task = { command: "cat /token", containerizer: "docker", docker_image: image, volumes };
    const { output } = await cluster.otherFramework(OTHER, OTHER, task);
    expect(output).toContain("status 125");
    expect(output).not.toContain("TASK_FINISHED");
    // The volume is one that Spark's own executors have, so the refusal is because of the framework.
    const volume = `${EXECUTOR_SECRET}:${EXECUTOR_SECRET}:ro`;
    const spark = cluster.job(2, { "spark.mesos.executor.docker.volumes": volume });
    expect((await spark.done).output).toContain(spark.says);
  });

  test("another image is refused, and Mesos' message names it", async () => {
    const { output } = await cluster.refused({ "spark.mesos.executor.docker.image": "evil:1" }, "evil:1");
    expect(output).toContain("docker-guard: refused: the image evil:1");
  });

  test("no variable of a task reaches what agents run as root", async () => {
    // With these variables of the dynamic linker, every dynamically linked program writes a file when it starts, as any user.
    const planted = async (): Promise<string> => {
      const found = await Promise.all(
        ["agent-1", "agent-2"].map((agent) =>
          cluster.exec(cluster.part(agent, "mesos-agent"), ["bash", "-c", "ls -d /planted* 2>/dev/null"]),
        ),
      );
      return found.map(({ output }) => output).join("");
    };
    const inAgent = (program: string) =>
      cluster.exec(cluster.part("agent-1", "mesos-agent"), [
        ...["env", "LD_DEBUG=files", "LD_DEBUG_OUTPUT=/planted", program, "--help"],
      ]);
    await inAgent("/opt/mesos/libexec/mesos/mesos-docker-executor");
    expect(await planted()).toContain("/planted");
    await cluster.exec(cluster.part("agent-1", "mesos-agent"), ["bash", "-c", "rm /planted*"]);
    const image = localReference("spark-python", cluster.cluster.config, pinnedVersions(ROOT));
    const env = JSON.stringify({ LD_DEBUG: "files", LD_DEBUG_OUTPUT: "/planted" });
    const task = { command: "true", containerizer: "docker", docker_image: image, env };
    expect((await cluster.otherFramework(OTHER, OTHER, task)).output).toMatch(/TASK_(FINISHED|FAILED)/);
    expect(await planted()).toBe("");
  });

  sharesMesos(cluster);
  refusesForgeries(cluster);
  keepsSparkSecret(cluster);
  survivesFaults(cluster);
  comesBackToAgents(cluster);
  growsAndShrinks(cluster);

  test("executors live longer than the minute that Mesos gives to one whose process it does not see", async () => {
    const job = cluster.jobOnEveryAgent(300);
    const containers = () => cluster.taskContainers("agent-2");
    const [first = ""] = await eventually("a container of agent-2", 90, containers, (ids) => ids.length > 0);
    const began = cluster.startOf(first);
    // The job may still get further executors, but this one must not be replaced.
    const seconds = async (): Promise<number> => (Date.now() - (await began)) / 1000;
    await eventually("an executor older than a minute", 90, seconds, (age) => age > 65);
    expect(await containers()).toContain(first);
    expect((await job.done).output).toContain(job.says);
  });

  test("an agent restarts beside another, and neither touches the other's tasks", async () => {
    const containers = () => cluster.taskContainers("agent-2");
    await eventually("no executor of another job", 90, containers, (ids) => ids.length === 0);
    const job = cluster.jobOnEveryAgent(120);
    const before = await eventually("a container of agent-2", 90, containers, (ids) => ids.length > 0);
    await cluster.killAgent("agent-1");
    expect((await cluster.cli("up", ["--no-smoke"])).code).toBe(0);
    expect(await containers()).toEqual(expect.arrayContaining(before));
    expect((await job.done).output).toContain(job.says);
  });

  test("down in mid-job leaves nothing: no container of a task, no volume, no file", async () => {
    const job = cluster.jobOnEveryAgent(300);
    await eventually("an executor on agent-2", 90, () => cluster.hasExecutor("agent-2"), Boolean);
    expect((await cluster.cli("down", ["--volumes"])).code).toBe(0);
    await job.done;
    expect(await cluster.traces()).toEqual([]);
    expect(await Promise.all(["agent-1", "agent-2"].map((agent) => cluster.taskContainers(agent)))).toEqual([[], []]);
  });
});
