import { ADMIN_LOGIN } from "../cluster/services/mesos/mesos.ts";
import type { Cluster } from "../cluster/types.ts";
import { captured } from "../lib/exec.ts";
import type { Operator } from "../mesos/leader.ts";
import { containerName } from "../render/compose.ts";
import type { Docker } from "./docker.ts";

/** Runs commands of Mesos' operator in the containers of a cluster's masters. */
export const onDocker = (d: Docker, cluster: Cluster): Operator => ({
  cluster,
  run: (master, command) => {
    // The master's service, which has the operator's password among its files.
    const service = cluster.services.find(
      (s) => s.machine === master.name && s.files.some((f) => f.path === ADMIN_LOGIN),
    );
    if (!service) throw new Error(`no Mesos master on ${master.name}`);
    return captured(d.client, ["exec", containerName(cluster, service), ...command]);
  },
});
