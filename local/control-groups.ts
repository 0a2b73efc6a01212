import { MESOS_HOME } from "../cluster/services/mesos/mesos.ts";
import { ConfigError } from "../config/problems.ts";
import type { Config } from "../config/schema.ts";
import { type Docker, docker } from "./docker.ts";

/**
 * Whether agents can start containers here. Mesos up to 1.x looks for the CPU's control group of version 1 before it does, and
 * would else only say so in an agent's log.
 *
 * @param image The agents' image, with Mesos in it.
 * @throws ConfigError where they cannot.
 */
export async function checkControlGroups(d: Docker, image: string, config: Config, environment: string): Promise<void> {
  if ((await docker(d, ["info", "--format", "{{.CgroupVersion}}"])) !== "2") return;
  const agent = [image, `${MESOS_HOME}/sbin/mesos-agent`, "--version"];
  const version = await docker(d, ["run", "--rm", "--network", "none", ...agent]);
  if (!version.startsWith("mesos 1.")) return;
  const rule = `a Mesos that starts containers with control groups version 2, which this machine's Docker has (it is ${version})`;
  const fix =
    "use architecture vanilla or mesos-in-docker here, boot with systemd.unified_cgroup_hierarchy=0, or name another Mesos";
  throw new ConfigError(environment, [{ key: "mesosSource", value: config.mesosSource, rule, fix }]);
}
