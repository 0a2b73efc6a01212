import { basename } from "node:path";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { fetchSource, type MesosArchive } from "../../mesos/archive.ts";
import { type Guests, imageName } from "../machine/guests.ts";

/** The notebook's container on the client. */
export const JUPYTER = "triplewide-jupyter";

/** A job that prints the users that its tasks ran as. */
export const JOB = `
import os
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("JOB", set(spark.sparkContext.parallelize(range(8), 8).map(lambda n: os.getuid()).collect()), spark.range(1000).selectExpr("sum(id) s").toPandas().s[0])`;
/** Its output if they ran as Spark's user. */
export const JOB_SAYS = "JOB {1000} 499500";

/** The real Mesos, and a server from which a test's machines fetch it. */
export interface MesosForMachines {
  /** The value for the machines' config. */
  mesosSource: string;
  archives: ReadonlyMap<string, MesosArchive>;
  /** Serves it on the machines' network. */
  serve: (guests: Guests) => Promise<void>;
}

/**
 * @param source The value of MESOS_SOURCE. This fetches it.
 * @param address An address of the machines' network that no machine has.
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
