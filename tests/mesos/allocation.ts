import { expect, test } from "vitest";
import type { MesosCluster } from "./mesos-cluster.ts";

const TASKS = 40;

/** A job that takes all cores, releases them while it is idle, and then continues. */
const script = (cores: number): string =>
  [
    "import threading, time",
    "from pyspark.sql import SparkSession",
    "builder = SparkSession.builder.config('spark.dynamicAllocation.executorIdleTimeout', '5s')",
    `spark = builder.config('spark.cores.max', '${cores}').getOrCreate()`,
    "sc = spark.sparkContext",
    "executors = lambda: sc._jsc.sc().getExecutorIds().size()",
    "made = sc.accumulator(0)",
    "def slow(n):",
    "    made.add(1)",
    "    time.sleep(1)",
    "    return n % 4, n",
    `sums = sc.parallelize(range(${TASKS}), ${TASKS}).map(slow).reduceByKey(lambda a, b: a + b, 4)`,
    "seen = []",
    "def watch():",
    "    while True:",
    "        seen.append(executors())",
    "        time.sleep(0.2)",
    "threading.Thread(target=watch, daemon=True).start()",
    "print('sum is', sums.values().sum())",
    "largest = max(seen)",
    "deadline = time.time() + 90",
    "while executors() > 0 and time.time() < deadline: time.sleep(0.5)",
    "print('executors at most', largest, 'and idle', executors())",
    // Computed from the shuffle files of executors that have ended.
    "print('sum is again', sums.values().sum(), 'after', made.value, 'tasks')",
  ].join("\n");

/** Tests of `dynamicAllocation`, with shuffle files that executors leave to the agent's shuffle service. */
export function growsAndShrinks(cluster: MesosCluster): void {
  test("dynamic allocation: a job grows, gives all back, and goes on from what its executors left", async () => {
    const { code, output } = await cluster.cli("up", [], ["dynamicAllocation=true"]);
    expect(output).toMatch(/Smoke job passed in [\d.]+ s/);
    expect(code).toBe(0);
    const { agentCount, agentCpus = 1 } = cluster.cluster.config;
    const job = await cluster.onClient(["timeout", "300", "python3", "-c", script(agentCount * agentCpus)]);
    const sum = (TASKS * (TASKS - 1)) / 2;
    expect(job.output).toContain(`sum is ${sum}`);
    expect(job.output).toMatch(/executors at most [2-9] and idle 0/);
    expect(job.output).toContain(`sum is again ${sum} after ${TASKS} tasks`);
  });
}
