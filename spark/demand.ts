import { overlap } from "../cluster/addresses.ts";
import type { Demand } from "../cluster/scaling.ts";
import type { Cluster } from "../cluster/types.ts";
import { bodyOf, type OnMachines, requestCommand } from "./master.ts";

/**
 * What drivers would have, as their own pages say it (https://spark.apache.org/docs/3.5.9/monitoring.html): their metrics, how many executors
 * dynamic allocation wants for the work that there is; their environment, how many cores they may take and what one executor takes.
 */

const TARGET = ".driver.ExecutorAllocationManager.executors.numberTargetExecutors";

/**
 * What a driver says.
 *
 * @param page As it has told its master. One outside of the cluster's network is not asked.
 * @returns `undefined` where it has no page, or none of Spark's, or does not answer: nobody knows what it waits for.
 */
export async function driverDemand(
  { config, machines }: Cluster,
  on: OnMachines,
  { id, page }: { id: string; page: string },
): Promise<Demand | undefined> {
  const [, host, port] = /^http:\/\/(\d+\.\d+\.\d+\.\d+):(\d{1,5})\/?$/.exec(page) ?? [];
  const client = machines.find(({ group }) => group === "client");
  // Both are the framework's own words, and part of a command.
  if (host === undefined || client === undefined || !overlap(host, config.networkCidr) || !/^[\w-]+$/.test(id))
    return undefined;
  const ask = async (path: string): Promise<unknown> => {
    const { code, output } = await on.run(client, "jupyter", requestCommand(host, Number(port), "GET", path));
    if (code !== 0) throw new Error(output);
    return JSON.parse(bodyOf(output));
  };
  try {
    const metrics = await ask("/metrics/json/");
    return readDemand(metrics, await ask(`/api/v1/applications/${id}/environment`));
  } catch {
    return undefined;
  }
}

/** @throws Error for what is no answer of a driver's. */
export function readDemand(metrics: unknown, environment: unknown): Demand {
  const { gauges } = metrics as { gauges: Record<string, { value: number }> };
  const { sparkProperties } = environment as { sparkProperties: [string, string][] };
  const property = new Map(sparkProperties);
  const number = (key: string): number | undefined => {
    const value = property.get(key);
    return value === undefined ? undefined : Number(value);
  };
  // The metric's name begins with the application's id, or with `spark.metrics.namespace`.
  const target = Object.entries(gauges).find(([name]) => name.endsWith(TARGET))?.[1].value;
  const heap = mebibytes(property.get("spark.executor.memory") ?? "1g");
  return {
    executors: target ?? Number.POSITIVE_INFINITY,
    coresMax: number("spark.cores.max") ?? Number.POSITIVE_INFINITY,
    executorCores: number("spark.executor.cores"),
    // https://spark.apache.org/docs/3.5.9/running-on-mesos.html: spark.mesos.executor.memoryOverhead.
    executorMiB: heap + (number("spark.mesos.executor.memoryOverhead") ?? Math.max(384, Math.floor(heap / 10))),
    attributes: new Map(
      (property.get("spark.mesos.constraints") ?? "")
        .split(";")
        .filter((part) => part !== "")
        .map((part) => {
          const [name = "", values = ""] = part.split(":", 2);
          return [name, values.split(",").filter((value) => value !== "")];
        }),
    ),
  };
}

const UNITS = { k: 1 / 1024, m: 1, g: 1024, t: 1024 ** 2 };

/** A size as Spark has it: MiB without a unit. @throws Error for none. */
function mebibytes(text: string): number {
  const [, digits, unit = "m"] = /^(\d+)([kmgt])?b?$/.exec(text.trim().toLowerCase()) ?? [];
  if (digits === undefined) throw new Error(`no size: ${text}`);
  return Number(digits) * UNITS[unit as keyof typeof UNITS];
}
