import { section } from "../fields.ts";

const operation = section("Operation");

/** Keys of the section "Operation". */
export const operationKeys = {
  agentBatchSize: operation.integer(1, 500, 10, {
    doc: "Agents replaced at the same time when a change replaces them.",
  }),
  monitoring: operation.boolean(false, {
    doc: "Whether the client measures the cluster: Prometheus asks every service and machine each ten seconds, keeps what they say, and raises alerts; the gateway shows a dashboard. On OpenStack it keeps the logs of all machines as well (docs/OPERATIONS.md).",
  }),
  metricsRetentionDays: operation.integer(1, 3650, 15, {
    doc: "Days for which measurements are kept (with `monitoring`). They take a quarter of `clientVolumeGb` at most; then the oldest go first.",
  }),
  readyTimeoutSeconds: operation.integer(60, 7200, 900, {
    doc: "Seconds that a group of machines may take to become ready before the update fails with its units' last log lines.",
  }),
} as const;
