import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findDocker } from "../../local/docker.ts";
import { growsAndShrinks } from "./allocation.ts";
import { REDUNDANT, sharesMesos, survivesFaults } from "./faults.ts";
import { refusesForgeries } from "./forgeries.ts";
import { MesosCluster } from "./mesos-cluster.ts";
import { keepsSparkSecret } from "./secrets.ts";

const cluster = new MesosCluster(await findDocker(), "tw-mesos", 4, ["architecture=mesos-in-docker", ...REDUNDANT]);

describe("mesos-in-docker: everything in images, three masters", () => {
  beforeAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });
  afterAll(async () => {
    await cluster.cli("down", ["--volumes"]);
  });

  test("up: one master leads, agents register, and the smoke job is green", async () => {
    const { code, output } = await cluster.cli("up");
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(output).toMatch(/[2-9] executors took part/);
    expect(code).toBe(0);
    expect((await cluster.leadingMasters()).length).toBe(1);
  });

  sharesMesos(cluster);
  refusesForgeries(cluster);
  keepsSparkSecret(cluster);
  survivesFaults(cluster);
  growsAndShrinks(cluster);
});
