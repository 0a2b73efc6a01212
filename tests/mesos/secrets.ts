import { expect, test } from "vitest";
import { eventually } from "../containers/harness.ts";
import type { MesosCluster } from "./mesos-cluster.ts";

/** Variable that names the file with Spark's secret for executors. A search that finds it would also find a secret beside it. */
const FINDS = "HADOOP_TOKEN_FILE_LOCATION";
const PROCESSES = ["bash", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'"];

/** Tests of the secret by which drivers and executors authenticate each other. The cluster is up, with two agents. */
export function keepsSparkSecret(cluster: MesosCluster): void {
  test("Spark's secret is on no page of Mesos, in no container's description, and in the environment of no process", async () => {
    const agents = ["agent-1", "agent-2"];
    const ofSpark = await cluster.onClient(["cat", "/etc/spark/spark-defaults.conf"]);
    const secret = /^spark\.authenticate\.secret (\w{32})$/m.exec(ofSpark.output)?.[1] ?? "";
    expect(secret).not.toBe("");
    const job = cluster.jobOnEveryAgent(120);
    for (const agent of agents)
      await eventually(`an executor on ${agent}`, 90, () => cluster.hasExecutor(agent), Boolean);

    const shown: Record<string, string> = {};
    const [leader = 0] = await cluster.leadingMasters();
    for (const path of ["/state", "/tasks"])
      shown[`the master's ${path}`] = await cluster.page(`master-${leader}`, path);
    for (const agent of agents) {
      for (const path of ["/state", "/containers"]) shown[`${agent}'s ${path}`] = await cluster.page(agent, path);
      for (const type of ["GET_EXECUTORS", "GET_TASKS", "GET_CONTAINERS"])
        shown[`${agent}'s ${type}`] = await cluster.page(agent, "/api/v1", { type });
    }
    for (const container of await cluster.allContainers()) {
      shown[`docker inspect ${container}`] = await cluster.inDocker(["inspect", container]);
      // Reads processes as their own user, because root would need a capability that containers do not have.
      for (const user of ["0", "1000"])
        shown[`processes of ${user} in ${container}`] = await cluster.inDocker([
          "exec",
          "-u",
          user,
          container,
          ...PROCESSES,
        ]);
    }
    for (const agent of agents) {
      const mesos = cluster.part(agent, "mesos-agent");
      shown[`log of ${agent}`] = await cluster.logs(mesos);
      // Tasks' sandboxes, and the records that Mesos keeps of tasks.
      const files = await cluster.exec(mesos, ["grep", "-rlF", secret, "/var/lib/mesos/agent"], "root");
      expect(files.output, agent).toBe("");
    }
    expect(Object.keys(shown).filter((place) => shown[place]?.includes(secret))).toEqual([]);
    // The variable that stands beside the secret is found in these places: the search looks where the secret would be.
    const seen = Object.keys(shown).filter((place) => shown[place]?.includes(FINDS));
    expect(seen).toEqual(expect.arrayContaining(agents.map((agent) => `${agent}'s GET_EXECUTORS`)));
    expect(seen.join("\n")).toMatch(/^processes of 1000 /m);
    expect((await job.done).output).toContain(job.says);
  });
}
