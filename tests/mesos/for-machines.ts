import { basename } from "node:path";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { fetchSource, type MesosArchive } from "../../mesos/archive.ts";
import { type Guests, imageName } from "../machine/guests.ts";

/** The notebook's container on the client. */
export const JUPYTER = "triplewide-jupyter";

/** A job that says as whom its tasks ran. */
export const JOB = `
import os
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("JOB", set(spark.sparkContext.parallelize(range(8), 8).map(lambda n: os.getuid()).collect()), spark.range(1000).selectExpr("sum(id) s").toPandas().s[0])`;
/** What it prints where they ran as Spark's user. */
export const JOB_SAYS = "JOB {1000} 499500";

/** The real Mesos, where the machines of a test fetch it. */
export interface MesosForMachines {
  /** As their config has it. */
  mesosSource: string;
  archives: ReadonlyMap<string, MesosArchive>;
  /** Serves it, on their network. */
  serve: (guests: Guests) => Promise<void>;
}

/**
 * @param source As MESOS_SOURCE has it; it is fetched.
 * @param address Of the machines' network, and none of theirs.
 */
export async function forMachines(source: string, address: string): Promise<MesosForMachines> {
  const { client: docker } = await findDocker();
  const archive = await fetchSource(source, { root: ROOT, docker, signal: new AbortController().signal });
  const file = basename(archive.path);
  const mesosSource = `http://${address}:8000/${file}#sha256=${archive.sha256}`;
  return {
    mesosSource,
    archives: new Map([[mesosSource, { ...archive, id: archive.sha256 }]]),
    serve: (guests) =>
      guests.runAside(
        "mesos",
        ...["--ip", address, "--volume", `${archive.path}:/srv/${file}:ro`, imageName("plain")],
        ...["python3", "-m", "http.server", "--directory", "/srv", "8000"],
      ),
  };
}
