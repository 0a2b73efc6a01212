import { expect, test } from "vitest";
import type { MesosCluster } from "./mesos-cluster.ts";

/** One more than the number of failed executors after which Spark declines all offers of both agents. One executor runs at a time. */
const DEATHS = 5;

/**
 * A job whose first tasks each kill their executor's JVM, as the kernel does when memory runs out. Each killed executor is a file in the
 * shared folder. In the end the job prints the messages that a notebook shows about lost executors.
 */
const SCRIPT = [
  "import os, shutil, threading, time",
  "from pyspark.sql import SparkSession",
  "import triplewide_watch",
  "shutil.rmtree('/home/spark/work/.deaths', ignore_errors=True)",
  "os.makedirs('/home/spark/work/.deaths')",
  "builder = SparkSession.builder.appName('bans').config('spark.task.maxFailures', '50').config('spark.dynamicAllocation.enabled', 'false')",
  "sc = builder.config('spark.cores.max', '1').getOrCreate().sparkContext",
  "def java(pid):",
  "    while not os.readlink(f'/proc/{pid}/exe').endswith('/java'):",
  "        pid = int(open(f'/proc/{pid}/stat').read().rpartition(') ')[2].split()[1])",
  "    return pid",
  "def work(n):",
  `    for death in range(${DEATHS}):`,
  "        try:",
  "            os.close(os.open(f'/home/spark/work/.deaths/{death}', os.O_CREAT | os.O_EXCL))",
  "        except FileExistsError:",
  "            continue",
  "        os.kill(java(os.getpid()), 9)",
  "        time.sleep(60)",
  "    return n * n",
  "print('sum is', sc.parallelize(range(4), 4).map(work).sum(), 'after', len(os.listdir('/home/spark/work/.deaths')), 'deaths')",
  "class Shell:",
  "    class events:",
  "        register = staticmethod(lambda *_: None)",
  "triplewide_watch.Watcher(Shell).tell_lost(sc, threading.Event())",
].join("\n");

/** Tests that Spark uses agents again after more executors failed on each than it tolerates. The cluster is up, with two agents. */
export function comesBackToAgents(cluster: MesosCluster): void {
  test("executors are killed for memory on every agent: the job waits a minute and goes on", async () => {
    const job = await cluster.onClient(["timeout", "600", "python3", "-c", SCRIPT]);
    expect(job.output).toContain(`sum is 14 after ${DEATHS} deaths`);
    expect(job.output).toMatch(/executors failed on [\d.]+; 60 s later it is used again/);
    expect(job.output).toMatch(/an executor on [\d.]+ was killed, most often for its memory \(.*137/);
    expect(job.output).toContain("executorMemoryOverheadMiB");
  });
}
