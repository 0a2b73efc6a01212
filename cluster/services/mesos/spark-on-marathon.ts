import type { Context } from "../../context.ts";
import type { File, Machine, Port } from "../../types.ts";
import { MASTER_METRICS, WORKER_METRICS } from "../spark/metrics.ts";
import {
  MASTER_PAGE,
  masterProperties,
  recovery,
  SPARK_CONF_DIR,
  SPARK_UID,
  sharedSecret,
  sparkDefaults,
  workerProperties,
} from "../spark/spark.ts";

/** What Mesos' agents hold and offer for the Spark cluster that Marathon runs on them. */

/** Mesos role that Marathon registers in. */
export const MARATHON_ROLE = "marathon";

/** Agents with a Spark master: as many as there are Mesos masters, the first ones, because their addresses are known. */
export function marathonMasters(ctx: Context): string[] {
  // Not agents of a group: groups are added and removed.
  const ofGroups = ctx.machines.filter((m) => m.subgroup !== undefined).map((m) => m.address);
  const others = ctx.addresses("mesos-agent").filter((address) => !ofGroups.includes(address));
  return others.slice(0, ctx.config.masterCount);
}

/** What Marathon's Spark apps listen on, on an agent. @param machine Where it matters which one. */
export function marathonSparkPorts(ctx: Context, machine?: Machine): Port[] {
  const c = ctx.config;
  return [
    { name: "spark-master", key: "sparkMasterPort", port: c.sparkMasterPort, from: ["self", "client"] },
    {
      name: "spark-master-ui",
      key: "sparkMasterUiPort",
      port: c.sparkMasterUiPort,
      from: ["self", "client", "bastion"],
      ...(machine && marathonMasters(ctx).includes(machine.address)
        ? { page: MASTER_PAGE, metrics: MASTER_METRICS }
        : {}),
    },
    { name: "spark-worker", key: "sparkWorkerPort", port: c.sparkWorkerPort, from: ["self"] },
    {
      name: "spark-worker-ui",
      key: "sparkWorkerUiPort",
      port: c.sparkWorkerUiPort,
      from: ["self", "client", "bastion"],
      // An agent need not have one.
      metrics: WORKER_METRICS.map((one) => ({ ...one, optional: true })),
    },
  ];
}

/** What Mesos gives to tasks of every framework; they find each other there, and the client finds them. */
export const TASK_PORTS: Port = { name: "tasks", port: 31000, last: 32000, from: ["self", "client"] };

/**
 * The same ports as an agent offers them: to Marathon's role alone, or a task of another framework that wants any free port
 * could be given one of Spark's. Marathon gives an app ports that are offered, and no others.
 */
export function marathonSparkOffer(ctx: Context): string {
  const ranges = marathonSparkPorts(ctx).map(({ port }) => `${port}-${port}`);
  return `ports(${MARATHON_ROLE}):[${ranges.join(",")}]`;
}

/** File of an agent that Spark's master and workers read. */
export const SPARK_CONF = `${SPARK_CONF_DIR}/spark-defaults.conf`;

/**
 * What Spark's master and workers read, as a file of each agent. It holds the shared secret, which must not be in an app:
 * Marathon shows an app's environment to whoever logs in, and Mesos puts it on the command line of `docker run`.
 */
export function marathonSparkFile(ctx: Context): File {
  const properties = {
    ...masterProperties(ctx),
    ...workerProperties(ctx),
    ...sharedSecret(ctx.config),
    ...recovery(ctx),
  };
  return { ...sparkDefaults(properties), uid: SPARK_UID };
}
