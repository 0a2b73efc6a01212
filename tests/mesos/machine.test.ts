import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { agentsOnMachines, scaleSite } from "../../cli/scale.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import { withAgents } from "../../cluster/scaling.ts";
import { libprocessTrust } from "../../cluster/services/mesos/libprocess.ts";
import { ADMIN_LOGIN } from "../../cluster/services/mesos/mesos.ts";
import { shellQuote } from "../../lib/quote.ts";
import { ROOT } from "../../lib/root.ts";
import { onMachines } from "../../machines/operator.ts";
import type { Ssh } from "../../machines/ssh.ts";
import { drain, reactivate } from "../../mesos/drain.ts";
import { askLeader } from "../../mesos/leader.ts";
import { readAgents } from "../../mesos/state.ts";
import { type Conversation, conversation, eavesdropped, eventually } from "../containers/harness.ts";
import { SMALL_CLOUD } from "../fixtures/configs.ts";
import { canHaveVolumes, type Guest, Guests, missing } from "../machine/guests.ts";
import { RESULT } from "../scale/scaled.ts";
import { forMachines } from "./for-machines.ts";

/**
 * The real Mesos on machines as OpenStack has them, from user data: `vanilla` with `mesosTls`, whose operator comes by SSH. Agents come and go
 * here as the test boots them: what the cloud does is not here.
 */

const MINUTES = 60_000;
const { MESOS_SOURCE: source } = process.env;
const reason = source === undefined ? "no Mesos: set MESOS_SOURCE" : await missing();
const volumes = canHaveVolumes();
const JUPYTER = "triplewide-jupyter";

/** A job that says as whom its tasks ran. */
const JOB = `
import os
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("JOB", set(spark.sparkContext.parallelize(range(4), 4).map(lambda n: os.getuid()).collect()), spark.range(1000).selectExpr("sum(id) s").toPandas().s[0])`;

describe.skipIf(reason !== "")(`Mesos with TLS on machines${reason && ` (skipped: ${reason})`}`, async () => {
  if (source === undefined) return;
  const mesos = await forMachines(source, "10.207.0.99");
  const config = validate(
    {
      architecture: "vanilla",
      ...SMALL_CLOUD,
      networkCidr: "10.207.0.0/16",
      // As in machine/native.test.ts.
      sharedStorage: "none",
      agentsMin: 1,
      agentsMax: 2,
      agentCount: 2,
      idleMinutes: 0,
      ...{ agentCpus: 2, agentMemoryMiB: 3000, executorMemoryMiB: 512, executorMemoryOverheadMiB: 384 },
      dataVolumes: volumes,
      ...{ registryVolumeGb: 3, clientVolumeGb: 1, masterVolumeGb: 1 },
      mesosTls: true,
      mesosSource: mesos.mesosSource,
      ...(process.env.PIP_INDEX_URL ? { pythonIndex: process.env.PIP_INDEX_URL } : {}),
    },
    "env",
  );
  const clusterOf = (agents: number) => describeCluster(withAgents(config, agents));
  const cluster = clusterOf(2);
  const guests = new Guests(cluster);
  const guest = new Map<string, Guest>();
  const at = (name: string): Guest => guest.get(name) as Guest;
  const master = guests.machine("master-1");
  let ssh: Ssh;
  let session: Conversation;

  /** Runs Python on the client, as a notebook does. */
  const python = (script: string) => at("client").sh(`docker exec -i ${JUPYTER} python3 -`, script);
  const operator = () => onMachines(cluster, ssh);
  const activeAgents = async () =>
    readAgents(await askLeader(operator(), { type: "GET_AGENTS" })).filter(({ state }) => state === "active");

  beforeAll(async () => {
    await guests.prepare();
    await mesos.serve(guests);
    for (const [name, one] of await guests.bootAll({}, mesos.archives)) guest.set(name, one);
    ssh = guests.ssh();
  }, 60 * MINUTES);
  afterAll(async () => {
    await session?.end();
    await ssh?.close();
    await guests.cleanUp();
  }, 5 * MINUTES);

  test("nobody reads what a driver and Mesos say to each other, and a job runs as Spark's user on the agents", async () => {
    const [plain, hidden] = ["plain-word-on-the-wire", "mesos.internal."];
    const listener = ["exec", "-i", guests.container("client"), "python3"];
    const seen = await eavesdropped("docker", listener, [plain, hidden], async () => {
      expect((await python(JOB)).output).toContain("JOB {1000} 499500");
      const zookeeper = `/dev/tcp/${master.address}/${cluster.config.zookeeperClientPort}`;
      await at("client").out(`exec 3<>${zookeeper} && echo ${plain} >&3`);
    });
    expect(seen).toEqual([plain]);
  });

  test("who speaks without TLS is heard by no master and no agent", async () => {
    const forge = readFileSync(join(ROOT, "tests/cluster/forged_message.py"), "utf8");
    const { mesosMasterPort, mesosAgentPort } = cluster.config;
    const own = `nobody@${guests.machine("agent-1").address}:1`;
    for (const to of [
      `master@${master.address}:${mesosMasterPort}`,
      `slave(1)@${guests.machine("agent-2").address}:${mesosAgentPort}`,
    ]) {
      const words = ["-", own, to, "UnregisterSlaveMessage", "S0"].map(shellQuote).join(" ");
      const said = await at("agent-1").sh(`python3 ${words}`, forge);
      expect(said.output, to).toMatch(/RemoteDisconnected|ConnectionResetError/);
    }
  });

  test("keys are their service's alone to read", async () => {
    const keys = "stat -c '%n %U %a' /etc/libprocess/*key.pem";
    expect(await at("master-1").out(keys)).toBe("/etc/libprocess/key.pem root 600");
    expect(await at("agent-1").out(keys)).toBe(
      "/etc/libprocess/executor-key.pem spark 600\n/etc/libprocess/key.pem root 600",
    );
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

  test("scale by SSH: no agent at work goes, one goes when the session rests, and comes again for what waits", async () => {
    const program = readFileSync(join(ROOT, "tests/cluster/resting_session.py"), "utf8");
    session = conversation("docker", [
      ...["exec", "-i", guests.container("client"), "docker", "exec", "-i", JUPYTER, "python3", "-c", program],
    ]);
    let there = 2;
    const scaled = async (dryRun = false): Promise<string> => {
      const said: string[] = [];
      const site = {
        cluster: clusterOf(there),
        ...agentsOnMachines(clusterOf(there), ssh),
        apply: async (agents: number) => {
          if (agents < there) await guests.discard("agent-2");
          else {
            guest.set("agent-2", await guests.boot("agent-2", "with-docker", guests.userData("agent-2", String)));
            await at("agent-2").ready(1800, true);
          }
          there = agents;
        },
      };
      await scaleSite(site, { now: new Date(), dryRun, report: (line) => said.push(line) });
      return said.join("\n");
    };
    await session.until("begins");
    await eventually(
      "tasks on agent-2",
      180,
      () => scaled(true),
      (said) => /agent-2 stays: .*tasks? runs? on it/.test(said),
    );
    expect(await scaled()).toContain("2 agents, and that is right");
    await session.until(`first: ${RESULT}`);
    await eventually(
      "nothing runs",
      240,
      () => scaled(true),
      (said) => !said.includes("stays"),
    );
    expect(await scaled()).toContain("2 agents, should be 1");
    expect((await activeAgents()).map(({ host }) => host)).toEqual([guests.machine("agent-1").address]);

    session.say("again");
    const said = await eventually(
      "it waits",
      180,
      () => scaled(),
      (text) => text.includes("jobs wait for executors"),
    );
    expect(said).toContain("1 agent, should be 2");
    await session.until(`again: ${RESULT}`);
    expect(await activeAgents()).toHaveLength(2);
  });

  test.skipIf(!volumes)(
    "every secret is replaced, as `rotate all` has it: data stays, and old logins open nothing",
    async () => {
      const { mesosMasterPort } = cluster.config;
      const { authorityFile } = libprocessTrust(cluster.config);
      /** What the master answers whoever logs in as the operator. */
      const asOperator = (secret: string) =>
        at("master-1").sh(
          `curl -s -o /dev/null -w '%{http_code}' --cacert ${authorityFile} -K - https://${master.address}:${mesosMasterPort}/metrics/snapshot`,
          `user = "admin:${secret}"`,
        );
      const admin = guests.secrets.get("mesos-admin") ?? "";
      expect(await at("master-1").out(`cat ${ADMIN_LOGIN}`)).toBe(`admin:${admin}`);
      expect((await asOperator(admin)).output).toBe("200");
      await session.end();
      await ssh.close();
      await at("client").out(`docker exec ${JUPYTER} bash -c 'echo kept >/home/spark/work/kept'`);

      await guests.renew();
      for (const [name, one] of await guests.bootAll({}, mesos.archives)) guest.set(name, one);
      ssh = guests.ssh();
      expect(await activeAgents()).toHaveLength(2);
      expect((await asOperator(admin)).output).toBe("401");
      expect((await asOperator(`new${admin}`)).output).toBe("200");
      expect(await at("client").out(`docker exec ${JUPYTER} cat /home/spark/work/kept`)).toBe("kept");
      expect((await python(JOB)).output).toContain("JOB {1000} 499500");
    },
  );
});
