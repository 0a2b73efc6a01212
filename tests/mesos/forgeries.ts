import { expect, test } from "vitest";
import { agentAt } from "../../mesos/state.ts";
import { eventually } from "../containers/harness.ts";
import type { MesosCluster } from "./mesos-cluster.ts";

const REFUSED = /^400 UPID IP address validation failed/;

/**
 * Tests of forged libprocess messages, which need no login. An attacker who could pose as the leading master would run tasks as root. The
 * cluster is up, with two agents.
 */
export function refusesForgeries(cluster: MesosCluster): void {
  test("no message in another's name is taken: by agents, masters and drivers", async () => {
    const [leader = 0] = await cluster.leadingMasters();
    const [master, agent] = [cluster.upid(`master-${leader}`), cluster.upid("agent-2")];
    const agents = await cluster.operator({ type: "GET_AGENTS" });
    const id = agentAt(agents.kind === "done" ? agents.body : {}, cluster.address("agent-2"))?.id ?? "";
    expect(id).not.toBe("");
    const run = ["RunTaskMessage", id, "touch /var/lib/mesos/forged"] as const;

    // The messages come from a notebook, and from a task on another agent.
    const [notebook, task] = [cluster.part("client", "jupyter"), cluster.part("agent-1", "mesos-agent")];
    for (const place of [notebook, task]) {
      expect(await cluster.message(place, master, agent, ...run)).toMatch(REFUSED);
      expect(await cluster.message(place, agent, master, "UnregisterSlaveMessage", id)).toMatch(REFUSED);
    }
    const job = cluster.jobOnEveryAgent(20);
    const driver = await eventually(
      "a driver",
      90,
      async () => (await cluster.frameworks()).find((f) => f.active && f.name === "slow")?.pid ?? "",
      Boolean,
    );
    expect(await cluster.message(task, master, driver, "FrameworkErrorMessage", "forged")).toMatch(REFUSED);

    // The same message with its real sender is accepted by libprocess, so the forged sender is the reason for the refusal. Agents ignore it.
    const own = `nobody@${cluster.address("agent-1")}:1`;
    expect(await cluster.message(task, own, agent, ...run)).toMatch(/^202/);
    await eventually(
      "agent-2 passes it over",
      30,
      () => cluster.logs(cluster.part("agent-2", "mesos-agent")),
      (log) => log.includes(`Ignoring run task message from ${own}`),
    );
    const file = ["test", "-e", "/var/lib/mesos/forged"];
    expect((await cluster.exec(cluster.part("agent-2", "mesos-agent"), file)).code).toBe(1);
    expect((await job.done).output).toContain(job.says);
  });

  test("executors take messages only from the address that they say they are from", async () => {
    const job = cluster.jobOnEveryAgent(20);
    await eventually("an executor on agent-2", 90, () => cluster.hasExecutor("agent-2"), Boolean);
    // The processes of Mesos' own executors, which start Spark's executors.
    const read = "for p in $(pgrep -x 'mesos-(executor|docker-ex)'); do tr '\\0' '\\n' <\"/proc/$p/environ\"; done";
    const agent = cluster.part("agent-2", "mesos-agent");
    // The process runs as root if it calls Docker.
    const found = await Promise.all(["spark", "root"].map((user) => cluster.exec(agent, ["bash", "-c", read], user)));
    expect(found.map(({ output }) => output).join("")).toContain("LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH=true");
    expect((await job.done).output).toContain(job.says);
  });
}
