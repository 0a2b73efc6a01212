import { describe, expect, test } from "vitest";
import { findDocker } from "../../local/docker.ts";
import { eventually, TestCluster } from "../containers/harness.ts";
import { RESULT, Scaled } from "./scaled.ts";

/** `triplewide scale` on a cluster with a notebook's session: it adds agents while jobs wait and removes idle ones, and the session continues. */

const d = await findDocker();
const cluster = new TestCluster(d, "tw-scale", 10, ["agentsMin=1", "agentsMax=3", "agentCount=3", "idleMinutes=0"]);

const scaled = new Scaled(cluster);
const { scale, agents, rest } = scaled;

describe("scale", () => {
  const session = scaled.withSession();

  test("three agents at work stay, whatever is idle", async () => {
    await session().until("begins");
    await eventually(
      "executors on agent-3",
      120,
      () => scale(["--dry-run"]),
      (said) => said.includes("agent-3 stays: executors with"),
    );
    expect(await scale()).toContain("3 agents, and that is right");
    expect(await agents()).toEqual(["agent-1", "agent-2", "agent-3"]);
  });

  test("one is left when the session rests, with nothing of the others on this machine", async () => {
    await session().until(`first: ${RESULT}`);
    const said = await rest();
    expect(said).toContain("3 agents, should be 1");
    expect(said).toContain("agent-2, agent-3: nothing has run there for idleMinutes (0)");
    expect(await agents()).toHaveLength(3);
    // The agents have been idle for less than half an hour.
    expect(await scale([], ["idleMinutes=30"])).toContain("3 agents, and that is right");

    expect(await scale()).toContain("1 Spark workers registered");
    expect(await agents()).toEqual(["agent-1"]);
    const volumes = (await cluster.traces()).filter((name) => name.includes("agent-"));
    expect(volumes).toEqual(["tw-scale-agent-1", "triplewide-tw-scale_agent-1-var-lib-spark-work"]);
  });

  test("an ordinary up keeps the one", async () => {
    const { code, output } = await cluster.cli("up", ["--no-smoke"]);
    expect(code, output).toBe(0);
    expect(output).toContain("1 agent, as there are");
    expect(output).toContain("Nothing to change");
  });

  test("the session goes on without what went, and agents come for what it waits for", async () => {
    session().say("again");
    // What was shuffled and cached on agents that are gone is computed again, by one agent: it wants more.
    expect(
      await eventually(
        "it waits",
        120,
        () => scale(),
        (said) => said.includes("jobs wait for executors"),
      ),
    ).toMatch(/1 agent, should be 2\n/);
    expect(await agents()).toEqual(["agent-1", "agent-2"]);
    await session().until(`again: ${RESULT}`);
  });

  test("hours keep more of them than anything wants, and a new agent begins with nothing", async () => {
    await rest();
    expect(await scale([], ['hours={"daily 00:00-24:00": 3}'])).toContain('hours: 3 at "daily 00:00-24:00"');
    expect(await agents()).toEqual(["agent-1", "agent-2", "agent-3"]);
    // Only the files that every worker makes when it starts, and no application's folder.
    const files = (await cluster.exec("agent-3", ["ls", "/var/lib/spark/work"])).output;
    expect(files.trim().split("\n")).toEqual(["applications", "registeredExecutors.ldb"]);
  });

  test("an agent that was to go when scale was cut off is given back, or goes", async () => {
    await rest();
    const sendAway = `exec 3<>/dev/tcp/127.0.0.1/28080 && printf 'POST /workers/kill/?host=10.88.0.65 HTTP/1.0\r\n\r\n' >&3 && cat <&3`;
    expect((await cluster.exec("master-1", ["bash", "-c", sendAway])).output).toContain(" 200 OK");
    expect(await scale([], ['hours={"daily 00:00-24:00": 3}'])).toContain("agent-2 was to go, and is given back");
    const { code, output } = await cluster.cli("up", ["--no-smoke"]);
    expect(code, output).toBe(0);
    expect(output).toContain("3 Spark workers registered");
    expect((await cluster.exec("master-1", ["bash", "-c", sendAway])).output).toContain(" 200 OK");
    await scale();
    expect(await agents()).toEqual(["agent-1"]);
  });

  test("nobody but the master's own machine sends a worker away", async () => {
    const sendAway = `exec 3<>/dev/tcp/10.88.0.16/28080 && printf 'POST /workers/kill/?host=10.88.0.64 HTTP/1.0\r\n\r\n' >&3 && cat <&3`;
    for (const machine of ["client", "agent-1"]) {
      const { output } = await cluster.exec(machine, ["bash", "-c", sendAway]);
      expect(output, machine).toMatch(/^HTTP\/1.1 40[35] /);
    }
    expect(await scale(["--dry-run"])).toContain("1 agent, and that is right");
  });
});
