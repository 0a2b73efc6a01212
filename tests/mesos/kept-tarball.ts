import { expect, test } from "vitest";
import type { MesosCluster } from "./mesos-cluster.ts";

/** A job that says on how many agents its executors run. */
const script = (cores: number): string =>
  [
    "import socket, time",
    "from pyspark.sql import SparkSession",
    `builder = SparkSession.builder.config('spark.cores.max', '${cores}')`,
    "sc = builder.getOrCreate().sparkContext",
    "def where(n):",
    "    time.sleep(1)",
    "    return socket.gethostname()",
    `found = set(sc.parallelize(range(${8 * cores}), ${8 * cores}).map(where).collect())`,
    "print('agents:', len(found))",
  ].join("\n");

/** What holds where executors fetch Spark from the client by HTTP. The cluster is up. */
export function keepsTarball(cluster: MesosCluster): void {
  const { agentCount, agentCpus = 1 } = cluster.cluster.config;
  const run = async (): Promise<string> => {
    const job = script(agentCount * agentCpus);
    return (await cluster.onClient(["timeout", "400", "python3", "-c", job])).output;
  };
  /** By agent, how often it has asked the client for a file. */
  const fetched = async (name: string): Promise<Record<string, number>> => {
    const log = await cluster.logs(cluster.part("client", "executor-http"));
    const from = log.split("\n").flatMap((line) => (line.includes(`"GET /${name} `) ? [line.split(" ")[0] ?? ""] : []));
    return Object.fromEntries([...Map.groupBy(from, (address) => address)].map(([agent, all]) => [agent, all.length]));
  };
  /** What Mesos' fetcher did for the executors whose sandboxes an agent still has. */
  const actions = async (agent: string): Promise<string[]> => {
    const sandboxes = "/var/lib/mesos/agent/slaves/*/frameworks/*/executors/*/runs/latest/stderr";
    const read = `grep -ho '"action":"[A-Z_]*"' ${sandboxes}`;
    const { output } = await cluster.exec(cluster.part(agent, "mesos-agent"), ["bash", "-c", read]);
    return output.trim().split("\n");
  };

  test("an agent fetches Spark once, by a name that ends with its digest, and keeps it for the executors that follow", async () => {
    const asked = ". /etc/spark/spark-env.sh && echo $SPARK_SUBMIT_OPTS && sha256sum /opt/spark-dist/*.tgz";
    const { output } = await cluster.onClient(["bash", "-c", asked]);
    const [, name = "", digest] =
      /-Dspark\.executor\.uri=http:\S+\/(spark-[\d.]+-([0-9a-f]{12})\.tgz)/.exec(output) ?? [];
    expect(output).toMatch(new RegExp(`^${digest}[0-9a-f]{52} .*/${name}$`, "m"));

    for (let job = 1; job <= 2; job++) expect(await run()).toContain(`agents: ${agentCount}\n`);
    const agents = cluster.cluster.machines.filter(({ group }) => group === "agent");
    expect(await fetched(name)).toEqual(Object.fromEntries(agents.map(({ address }) => [address, 1])));
    for (const agent of agents) {
      const done = await actions(agent.name);
      expect(done.filter((action) => action.includes("DOWNLOAD_AND_CACHE"))).toHaveLength(1);
      expect(done.filter((action) => action.includes("RETRIEVE_FROM_CACHE")).length).toBeGreaterThan(0);
    }
  });
}
