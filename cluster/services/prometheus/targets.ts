import { LOOPBACK } from "../../../lib/loopback.ts";
import type { WiredContext } from "../../context.ts";
import type { Json, Metrics, Service } from "../../types.ts";

/** One place that Prometheus reads, as its lists of targets have it (`file_sd_configs`). */
export interface Target {
  targets: readonly string[];
  labels: Readonly<Record<string, string>>;
}

/** What is measured of a port whose program has no metrics: that it takes connections. */
export const CONNECTION = { path: "connection", format: "tcp" } as const satisfies Metrics;

/** What is measured of a port that speaks TLS: from when until when its certificate is good. */
export const CERTIFICATE = { path: "certificate", format: "tls" } as const satisfies Metrics;

/** Every place of these services where there are metrics, read off their ports. Prometheus adds the label `instance`, the address. */
export function targetsOf(
  { machines, config }: Pick<WiredContext, "machines" | "config">,
  services: readonly Pick<Service, "name" | "machine" | "ports">[],
): Target[] {
  const machineOf = new Map(machines.map((machine) => [machine.name, machine]));
  return services.flatMap(({ name, machine: where, ports }) => {
    const machine = machineOf.get(where);
    if (machine === undefined) return [];
    return ports.flatMap(({ port, last = port, https, metrics = [] }) =>
      metrics.map(({ path, job = name, loopback, optional, format }) => {
        const labels = { job, machine: machine.name, group: machine.group, ...(optional ? { optional: "yes" } : {}) };
        const at = Array.from(
          { length: last - port + 1 },
          (_, i) => `${loopback ? LOOPBACK : machine.address}:${port + i}`,
        );
        if (format === undefined) return { targets: at, labels: { ...labels, __metrics_path__: path } };
        // The translator reads it and answers under the service's own address.
        const [instance = ""] = at;
        const scheme = https ? { __param_scheme: "https" } : {};
        const asked = { __metrics_path__: `/${format}`, __param_target: instance, __param_path: path, ...scheme };
        return { targets: [`127.0.0.1:${config.metricsTranslatorPort}`], labels: { ...labels, instance, ...asked } };
      }),
    );
  });
}

/** The same as JSON. */
export const targetList = (targets: readonly Target[]): Json =>
  targets.map(({ targets, labels }) => ({ targets: [...targets], labels: { ...labels } }));
