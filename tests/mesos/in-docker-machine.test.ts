import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { drain, reactivate } from "../../mesos/drain.ts";
import { type Conversation, eventually } from "../containers/harness.ts";
import { missing } from "../machine/guests.ts";
import { RESULT } from "../scale/scaled.ts";
import { JOB, JOB_SAYS, MesosOnMachines } from "./for-machines.ts";

/** The real Mesos in containers on machines as OpenStack has them, from user data: `mesos-in-docker`, whose operator comes by SSH. */

const MINUTES = 60_000;
const { MESOS_SOURCE: source } = process.env;
const reason = source === undefined ? "no Mesos: set MESOS_SOURCE" : await missing();

describe.skipIf(reason !== "")(`mesos-in-docker on machines${reason && ` (skipped: ${reason})`}`, async () => {
  if (source === undefined) return;
  const machines = await MesosOnMachines.of(source, "10.209", { architecture: "mesos-in-docker" });
  let session: Conversation | undefined;

  beforeAll(async () => {
    // Mesos gives each task terminal devices. Machines have them; guests need this rule.
    const terminals = ["--device-cgroup-rule", "c 4:* rwm"];
    await machines.begin({ "agent-1": terminals, "agent-2": terminals });
  }, 60 * MINUTES);
  afterAll(async () => {
    await session?.end();
    await machines.end();
  }, 5 * MINUTES);

  test("a job runs as Spark's user, in the agents' containers", async () => {
    expect(await machines.activeAgents()).toHaveLength(2);
    expect((await machines.python(JOB)).output).toContain(JOB_SAYS);
    const inside = `from pyspark.sql import SparkSession
import os
print("FOUND", SparkSession.builder.getOrCreate().sparkContext.parallelize([0]).map(lambda n: (os.path.exists("/.dockerenv"), os.path.exists("/var/lib/cloud"))).collect())`;
    expect((await machines.python(inside)).output).toContain("FOUND [(True, False)]");
  });

  test.each([
    ["agent-2", "mesos-agent"],
    ["master-1", "mesos-master"],
  ])("%s's %s is killed in mid-job: the job ends right, and the cluster is whole again", async (machine, service) => {
    session = machines.converse("resting_session.py");
    await session.until("begins");
    await machines.at(machine).out(`docker kill triplewide-${service}`);
    await session.until(`first: ${RESULT}`);
    await session.end();
    await machines.at(machine).ready(300, true);
    await eventually(
      "both agents",
      300,
      () => machines.activeAgents(),
      (found) => found.length === 2,
    );
    expect((await machines.python(JOB)).output).toContain(JOB_SAYS);
  });

  test("the operator drains an agent by SSH, and gives it back", async () => {
    const said: string[] = [];
    const options = { agent: "agent-2", graceSeconds: 5, timeoutSeconds: 120, report: (s: string) => said.push(s) };
    await drain({ ...machines.operator(), ...options });
    expect(said.at(-1)).toMatch(/agent-2 is drained after/);
    expect(await machines.activeAgents()).toHaveLength(1);
    await reactivate({ ...machines.operator(), ...options });
    expect(await machines.activeAgents()).toHaveLength(2);
  });
});
