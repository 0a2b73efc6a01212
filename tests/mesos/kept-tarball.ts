import { expect, test } from "vitest";
import type { MesosCluster } from "./mesos-cluster.ts";

/** Port on the client at which the test serves its own tarball. */
const PORT = 8079;

/** A job that prints where its executors run, and whether their fetched Spark has a file `marked`. @param uri Value of `spark.executor.uri`. */
const script = (cores: number, uri?: string): string =>
  [
    "import os, socket, time",
    "from pyspark.sql import SparkSession",
    `builder = SparkSession.builder.config('spark.cores.max', '${cores}')`,
    ...(uri === undefined ? [] : [`builder = builder.config('spark.executor.uri', '${uri}')`]),
    "sc = builder.getOrCreate().sparkContext",
    "def where(n):",
    "    time.sleep(1)",
    "    return socket.gethostname(), os.path.exists('marked')",
    `found = set(sc.parallelize(range(${8 * cores}), ${8 * cores}).map(where).collect())`,
    "print('agents', len({host for host, _ in found}), 'marked', sorted({marked for _, marked in found}))",
  ].join("\n");

/** Tests for executors that fetch Spark from the client by HTTP. The cluster is up. */
export function keepsTarball(cluster: MesosCluster): void {
  const { agentCount, agentCpus = 1 } = cluster.cluster.config;
  const run = async (uri?: string): Promise<string> => {
    const job = script(agentCount * agentCpus, uri);
    return (await cluster.onClient(["timeout", "400", "python3", "-c", job])).output;
  };
  /** The number of times that each agent has requested a file from the client. */
  const fetched = async (name: string): Promise<Record<string, number>> => {
    const log = await cluster.logs(cluster.part("client", "executor-http"));
    const from = log.split("\n").flatMap((line) => (line.includes(`"GET /${name} `) ? [line.split(" ")[0] ?? ""] : []));
    return Object.fromEntries([...Map.groupBy(from, (address) => address)].map(([agent, all]) => [agent, all.length]));
  };
  /** The actions of Mesos' fetcher for the executors whose sandboxes an agent still has. */
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

    for (let job = 1; job <= 2; job++) expect(await run()).toContain(`agents ${agentCount} marked [False]`);
    const agents = cluster.cluster.machines.filter(({ group }) => group === "agent");
    expect(await fetched(name)).toEqual(Object.fromEntries(agents.map(({ address }) => [address, 1])));
    for (const agent of agents) {
      const done = await actions(agent.name);
      expect(done.filter((action) => action.includes("DOWNLOAD_AND_CACHE"))).toHaveLength(1);
      expect(done.filter((action) => action.includes("RETRIEVE_FROM_CACHE")).length).toBeGreaterThan(0);
    }
  });

  test("Spark of another image is another file, for every executor of its drivers and for no other", async () => {
    const make = [
      "mkdir /tmp/other && cd /tmp/other && touch marked",
      "gunzip -c $(ls /opt/spark-dist/spark-*.tgz | tail -1) >all.tar",
      'tar rf all.tar --transform "s,^,$(tar tf all.tar | head -1 | cut -d/ -f1)/," marked',
      "gzip -1 all.tar && name=spark-3.5.9-$(sha256sum all.tar.gz | cut -c 1-12).tgz && mv all.tar.gz $name && echo $name",
    ].join(" && ");
    const { output, code } = await cluster.onClient(["bash", "-c", make]);
    expect(code, output).toBe(0);
    const address = cluster.address("client");
    const serve = ["python3", "-u", "-m", "http.server", "--directory", "/tmp/other", "--bind", address, String(PORT)];
    const server = cluster.converse(cluster.part("client", "jupyter"), [
      "bash",
      "-c",
      `${serve.join(" ")} & read; kill $!`,
    ]);
    await server.until("Serving HTTP");
    const other = `http://${address}:${PORT}/${output.trim()}`;
    expect(await run(other)).toContain(`agents ${agentCount} marked [True]`);
    expect(await run()).toContain(`agents ${agentCount} marked [False]`);
    expect(await run(other)).toContain(`agents ${agentCount} marked [True]`);
    await server.end();
  });
}
