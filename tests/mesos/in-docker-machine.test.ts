import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { ROOT } from "../../lib/root.ts";
import { onMachines } from "../../machines/operator.ts";
import type { Ssh } from "../../machines/ssh.ts";
import { drain, reactivate } from "../../mesos/drain.ts";
import { askLeader } from "../../mesos/leader.ts";
import { readAgents } from "../../mesos/state.ts";
import { type Conversation, conversation, eventually } from "../containers/harness.ts";
import { SMALL_CLOUD } from "../fixtures/configs.ts";
import { type Guest, Guests, missing } from "../machine/guests.ts";
import { RESULT } from "../scale/scaled.ts";
import { forMachines, JOB, JOB_SAYS, JUPYTER } from "./for-machines.ts";

/** The real Mesos in containers on machines as OpenStack has them, from user data: `mesos-in-docker`, whose operator comes by SSH. */

const MINUTES = 60_000;
const { MESOS_SOURCE: source } = process.env;
const reason = source === undefined ? "no Mesos: set MESOS_SOURCE" : await missing();

describe.skipIf(reason !== "")(`mesos-in-docker on machines${reason && ` (skipped: ${reason})`}`, async () => {
  if (source === undefined) return;
  const mesos = await forMachines(source, "10.209.0.99");
  const config = validate(
    {
      architecture: "mesos-in-docker",
      ...SMALL_CLOUD,
      networkCidr: "10.209.0.0/16",
      // Guests have this machine's kernel, which may be unable to mount NFS.
      sharedStorage: "none",
      agentCount: 2,
      ...{ agentCpus: 2, agentMemoryMiB: 3000, executorMemoryMiB: 512, executorMemoryOverheadMiB: 384 },
      dataVolumes: false,
      mesosTls: true,
      mesosSource: mesos.mesosSource,
      ...(process.env.PIP_INDEX_URL ? { pythonIndex: process.env.PIP_INDEX_URL } : {}),
    },
    "env",
  );
  const cluster = describeCluster(config);
  const guests = new Guests(cluster);
  const guest = new Map<string, Guest>();
  const at = (name: string): Guest => guest.get(name) as Guest;
  let ssh: Ssh;
  let session: Conversation | undefined;

  const python = (script: string) => at("client").sh(`docker exec -i ${JUPYTER} python3 -`, script);
  const operator = () => onMachines(cluster, ssh);
  const activeAgents = async () =>
    readAgents(await askLeader(operator(), { type: "GET_AGENTS" })).filter(({ state }) => state === "active");

  beforeAll(async () => {
    await guests.prepare();
    await mesos.serve(guests);
    // Mesos gives each task terminal devices. Machines have them; guests need this rule.
    const terminals = ["--device-cgroup-rule", "c 4:* rwm"];
    const options = { "agent-1": terminals, "agent-2": terminals };
    for (const [name, one] of await guests.bootAll(options, mesos.archives)) guest.set(name, one);
    ssh = guests.ssh();
  }, 60 * MINUTES);
  afterAll(async () => {
    await session?.end();
    await ssh?.close();
    await guests.cleanUp();
  }, 5 * MINUTES);

  test("a job runs as Spark's user, in the agents' containers", async () => {
    expect(await activeAgents()).toHaveLength(2);
    expect((await python(JOB)).output).toContain(JOB_SAYS);
    const inside = `from pyspark.sql import SparkSession
import os
print("FOUND", SparkSession.builder.getOrCreate().sparkContext.parallelize([0]).map(lambda n: (os.path.exists("/.dockerenv"), os.path.exists("/var/lib/cloud"))).collect())`;
    expect((await python(inside)).output).toContain("FOUND [(True, False)]");
  });

  test("an agent's container is killed in mid-job: the job ends right, and the agent comes back", async () => {
    const program = readFileSync(join(ROOT, "tests/cluster/resting_session.py"), "utf8");
    session = conversation("docker", [
      ...["exec", "-i", guests.container("client"), "docker", "exec", "-i", JUPYTER, "python3", "-c", program],
    ]);
    await session.until("begins");
    await at("agent-2").out("docker kill triplewide-mesos-agent");
    await session.until(`first: ${RESULT}`);
    await at("agent-2").ready(300, true);
    await eventually("the master has both agents", 120, activeAgents, (found) => found.length === 2);
    await session.end();
  });

  test("the master's container is killed in mid-job: the job ends right", async () => {
    const program = readFileSync(join(ROOT, "tests/cluster/resting_session.py"), "utf8");
    session = conversation("docker", [
      ...["exec", "-i", guests.container("client"), "docker", "exec", "-i", JUPYTER, "python3", "-c", program],
    ]);
    await session.until("begins");
    await at("master-1").out("docker kill triplewide-mesos-master");
    await session.until(`first: ${RESULT}`);
    await at("master-1").ready(300, true);
    await session.end();
    await eventually("the master has both agents", 300, activeAgents, (found) => found.length === 2);
    expect((await python(JOB)).output).toContain(JOB_SAYS);
  });

  test("the operator drains an agent by SSH, and gives it back", async () => {
    const said: string[] = [];
    const options = { agent: "agent-2", graceSeconds: 5, timeoutSeconds: 120, report: (s: string) => said.push(s) };
    await drain({ ...operator(), ...options });
    expect(said.at(-1)).toMatch(/agent-2 is drained after/);
    expect(await activeAgents()).toHaveLength(1);
    await reactivate({ ...operator(), ...options });
    expect(await activeAgents()).toHaveLength(2);
  });
});
