import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { localReference } from "../../cluster/images.ts";
import { pinnedVersions } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { eventually } from "../containers/harness.ts";
import { growsAndShrinks } from "./allocation.ts";
import { OTHER, REDUNDANT, sharesMesos, survivesFaults } from "./faults.ts";
import { MesosCluster } from "./mesos-cluster.ts";

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

  sharesMesos(cluster);
  survivesFaults(cluster);
  growsAndShrinks(cluster);

  test("executors live longer than the minute that Mesos gives to one whose process it does not see", async () => {
    const job = cluster.jobOnEveryAgent(300);
    const containers = () => cluster.taskContainers("agent-2");
    const before = await eventually("a container of agent-2", 90, containers, (ids) => ids.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 65_000));
    expect(await containers()).toEqual(before);
    expect((await job.done).output).toContain(job.says);
  });

  test("an agent restarts beside another, and neither touches the other's tasks", async () => {
    const job = cluster.jobOnEveryAgent(120);
    const containers = () => cluster.taskContainers("agent-2");
    const before = await eventually("a container of agent-2", 90, containers, (ids) => ids.length > 0);
    await cluster.killAgent("agent-1");
    expect((await cluster.cli("up", ["--no-smoke"])).code).toBe(0);
    expect(await containers()).toEqual(before);
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
