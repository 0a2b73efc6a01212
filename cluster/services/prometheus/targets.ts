import type { WiredContext } from "../../context.ts";
import type { Json, Service } from "../../types.ts";

/** One place that Prometheus reads, as its lists of targets have it (`file_sd_configs`). */
export interface Target {
  targets: readonly string[];
  labels: Readonly<Record<string, string>>;
}

/** Every place of these services where there are metrics, read off their ports. Prometheus adds the label `instance`, the address. */
export function targetsOf({ machines }: Pick<WiredContext, "machines">, services: readonly Service[]): Target[] {
  const machineOf = new Map(machines.map((machine) => [machine.name, machine]));
  return services.flatMap(({ name, machine: where, ports }) => {
    const machine = machineOf.get(where);
    if (machine === undefined) return [];
    return ports.flatMap(({ port, last = port, metrics = [] }) =>
      metrics.map(({ path, job = name, optional }) => ({
        targets: Array.from({ length: last - port + 1 }, (_, i) => `${machine.address}:${port + i}`),
        labels: {
          job,
          machine: machine.name,
          group: machine.group,
          __metrics_path__: path,
          ...(optional ? { optional: "yes" } : {}),
        },
      })),
    );
  });
}

/** The same as JSON. */
export const targetList = (targets: readonly Target[]): Json =>
  targets.map(({ targets, labels }) => ({ targets: [...targets], labels: { ...labels } }));
