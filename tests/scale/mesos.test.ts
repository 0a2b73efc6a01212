import { describe, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { projectOf, readSecret } from "../../local/project.ts";
import { eventually } from "../containers/harness.ts";
import { MesosCluster } from "../mesos/mesos-cluster.ts";
import { RESULT, Scaled } from "./scaled.ts";

/** `triplewide scale` with the real Mesos: it removes no busy agent, a session loses no data by removed ones, and it adds agents for waiting jobs. */

const { MESOS_SOURCE: source } = process.env;
const settings = ["architecture=vanilla", "agentsMin=1", "agentsMax=3", "agentCount=2", "idleMinutes=0"];

describe.skipIf(source === undefined)("scale with Mesos", async () => {
  const cluster = new MesosCluster(await findDocker(), "tw-scale-mesos", 13, settings, source);
  const scaled = new Scaled(cluster);
  const { scale, agents, rest } = scaled;
  const idOf = async (name: string): Promise<{ id: string } | undefined> => {
    const { slaves } = JSON.parse((await cluster.state()).replace(/^[\s\S]*?\r\n\r\n/, "")) as {
      slaves: { id: string; hostname: string; active: boolean }[];
    };
    return slaves.find(({ hostname, active }) => active && hostname === cluster.address(name));
  };

  const session = scaled.withSession();

  test("agents at work stay, and no more come than a job may have", async () => {
    await session().until("begins");
    await eventually(
      "tasks on agent-2",
      180,
      () => scale(["--dry-run"]),
      (said) => /agent-2 stays: .*tasks? runs? on it/.test(said),
    );
    expect(await scale()).toContain("2 agents, and that is right");
    expect(await agents()).toEqual(["agent-1", "agent-2"]);
  });

  test("nobody but the operator has an agent get nothing more", async () => {
    const id = { agent_id: { value: (await idOf("agent-2"))?.id } };
    const secret = readSecret(projectOf(ROOT, cluster.name), "mesos-spark");
    await cluster.exec(cluster.part("master-1", "mesos-master"), ["bash", "-c", `printf spark:${secret} >/tmp/spark`]);
    expect(await cluster.operator({ type: "DEACTIVATE_AGENT", deactivate_agent: id }, "/tmp/spark")).toMatchObject({
      kind: "refused",
      status: 403,
    });
    expect(await idOf("agent-2")).toBeDefined();
  });

  test("one is left when the session rests, and the master gives the other nothing meanwhile", async () => {
    await session().until(`first: ${RESULT}`);
    const said = await rest();
    expect(said).toContain("2 agents, should be 1");
    expect(said).toContain("agent-2: nothing has run there for idleMinutes (0)");
    expect(await scale([], ["idleMinutes=30"])).toMatch(/agent-2 stays: something ran on it \d+ min ago/);
    expect(await agents()).toHaveLength(2);

    const first = await idOf("agent-2");
    expect(first).toBeDefined();
    expect(await scale()).toContain("a leading Mesos master with 1 agents");
    expect(await agents()).toEqual(["agent-1"]);
    expect((await cluster.traces()).filter((name) => /agent-2/.test(name))).toEqual([]);

    // The master still knows the agent that went. A new one of the same name counts as another agent, and gets tasks.
    expect(await scale([], ['hours={"daily 00:00-24:00": 2}'])).toContain("a leading Mesos master with 2 agents");
    expect((await idOf("agent-2"))?.id).not.toBe(first?.id);
    await scale();
    expect(await agents()).toEqual(["agent-1"]);
  });

  test("the session goes on without what went, and an agent comes for what it waits for", async () => {
    session().say("again");
    // One agent computes again what was shuffled and cached on the agent that went, so the session asks for another one.
    expect(
      await eventually(
        "it waits",
        180,
        () => scale(),
        (said) => said.includes("jobs wait for executors"),
      ),
    ).toMatch(/1 agent, should be 2\n/);
    expect(await agents()).toEqual(["agent-1", "agent-2"]);
    await session().until(`again: ${RESULT}`);
  });

  test("an agent that was to go when scale was cut off is given back, or goes; one that an operator drains is left alone", async () => {
    await rest();
    const id = { agent_id: { value: (await idOf("agent-2"))?.id } };
    expect((await cluster.operator({ type: "DEACTIVATE_AGENT", deactivate_agent: id })).kind).toBe("done");
    expect(await idOf("agent-2")).toBeUndefined();
    const said = await scale([], ['hours={"daily 00:00-24:00": 2}']);
    expect(said).toContain("agent-2 was to go, and is given back");
    expect(await idOf("agent-2")).toBeDefined();

    const sets = cluster.settings.flatMap((text) => ["--set", text]);
    const drain = (...more: string[]) => cluster.program(["drain", "local", "agent-1", ...sets, ...more]);
    expect((await drain()).code).toBe(0);
    const { code, output } = await cluster.program(["scale", "local", ...sets]);
    expect(output).toContain("an operator has taken agent-1 out of service; nothing was changed");
    expect(code).toBe(1);
    expect((await drain("--back")).code).toBe(0);

    expect((await cluster.operator({ type: "DEACTIVATE_AGENT", deactivate_agent: id })).kind).toBe("done");
    await scale();
    expect(await agents()).toEqual(["agent-1"]);
  });
});
