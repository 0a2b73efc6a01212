import type { Config } from "../../../config/schema.ts";
import type { Metrics } from "../../types.ts";

/** Spark's metrics for Prometheus, on the web pages of its programs (https://spark.apache.org/docs/3.5.9/monitoring.html#metrics). */

const PATH = "/metrics/prometheus";
const MASTER_PATH = "/metrics/master/prometheus";

/** What a program of Spark's needs to offer them, by the name that its instance has there. */
export function metricsProperties(
  { monitoring }: Pick<Config, "monitoring">,
  instance: "master" | "worker" | "driver",
): Record<string, string> {
  const sink = `spark.metrics.conf.${instance}.sink.prometheusServlet`;
  return monitoring
    ? {
        [`${sink}.class`]: "org.apache.spark.metrics.sink.PrometheusServlet",
        [`${sink}.path`]: instance === "master" ? MASTER_PATH : PATH,
      }
    : {};
}

/** The same for drivers, which speak for their executors. */
export const driverMetricsProperties = (c: Pick<Config, "monitoring">): Record<string, string> =>
  c.monitoring
    ? {
        ...metricsProperties(c, "driver"),
        "spark.ui.prometheus.enabled": "true",
        // A fixed name in place of the application's id, with which each job would have metrics of other names.
        "spark.metrics.namespace": "spark",
      }
    : {};

/** Metrics of a master. Those that it has of applications are left out: each has other names, and drivers have better ones. */
export const MASTER_METRICS: readonly Metrics[] = [{ path: `${MASTER_PATH}/`, job: "spark-master" }];
export const WORKER_METRICS: readonly Metrics[] = [{ path: `${PATH}/`, job: "spark-worker" }];
/** Of drivers, which come and go: itself, and each of its executors. */
export const DRIVER_METRICS: readonly Metrics[] = [
  { path: `${PATH}/`, job: "spark-driver", optional: true },
  { path: "/metrics/executors/prometheus", job: "spark-executor", optional: true },
];
