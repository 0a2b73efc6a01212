import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findDocker } from "../../local/docker.ts";
import { growsAndShrinks } from "./allocation.ts";
import { REDUNDANT, sharesMesos, survivesFaults } from "./faults.ts";
import { refusesForgeries } from "./forgeries.ts";
import { keepsTarball } from "./kept-tarball.ts";
import { MesosCluster } from "./mesos-cluster.ts";
import { rotatesLogins } from "./rotation.ts";
import { keepsSparkSecret } from "./secrets.ts";

const cluster = new MesosCluster(await findDocker(), "tw-vanilla", 2, ["architecture=vanilla", ...REDUNDANT]);

describe("vanilla: executors as processes of the agents' machines", () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  test("up: agents register, Spark comes by HTTP, and the smoke job is green", async () => {
    const { code, output } = await cluster.cli("up");
    expect(output).toContain("a leading Mesos master with 2 agents");
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(output).toMatch(/[2-9] executors took part/);
    expect(code).toBe(0);
  });

  keepsTarball(cluster);
  sharesMesos(cluster);
  refusesForgeries(cluster);
  keepsSparkSecret(cluster);
  survivesFaults(cluster);
  growsAndShrinks(cluster);
  rotatesLogins(cluster);

  test("Spark comes out of what the machine has", async () => {
    const { code, output } = await cluster.cli("up", [], ["executorSource=local"]);
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(code).toBe(0);
  });

  test("Spark comes out of HDFS", async () => {
    const { code, output } = await cluster.cli("up", [], ["executorSource=hdfs", "datanodeCount=1"]);
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(code).toBe(0);
  });

  test("down leaves nothing", async () => {
    expect((await cluster.cli("down", ["--volumes"])).code).toBe(0);
    expect(await cluster.traces()).toEqual([]);
  });
});
