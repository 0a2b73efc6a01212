import { MESOS_HOME } from "../cluster/services/mesos/mesos.ts";
import { ConfigError } from "../config/problems.ts";
import type { Config } from "../config/schema.ts";
import { type Docker, docker, dockerLines } from "./docker.ts";

/** Files of control groups by whose names a Mesos shows that it has code for a version: only that version has them. */
const CODE_FOR: Readonly<Record<number, string>> = { 1: "cpu.cfs_quota_us", 2: "cgroup.subtree_control" };

/** What to do where a Mesos has no code for the version that Docker has. */
const FIX: Readonly<Record<number, string>> = {
  1: "name another Mesos (make mesos), or boot with control groups version 2",
  2: "use architecture vanilla or mesos-in-docker here, name another Mesos (make mesos), or boot with systemd.unified_cgroup_hierarchy=0 (and SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 from systemd 256 on)",
};

/**
 * Whether agents can start containers here. A Mesos looks for the CPU's control group of the version that it has code for, and
 * would else only say so in an agent's log. What it calls itself says nothing: forks with code for version 2 are "1.11.0" too.
 *
 * @param image The agents' image, with Mesos in it.
 * @throws ConfigError where they cannot.
 */
export async function checkControlGroups(d: Docker, image: string, config: Config, environment: string): Promise<void> {
  const here = Number(await docker(d, ["info", "--format", "{{.CgroupVersion}}"]));
  const library = `${MESOS_HOME}/lib/libmesos.so`;
  const look = Object.entries(CODE_FOR).map(([version, file]) => `grep -qF ${file} ${library} && echo ${version}`);
  const run = ["run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", `${look.join("; ")}; true`];
  const known = (await dockerLines(d, run)).map(Number);
  // One that shows neither is none that we know: its agents say what they miss.
  if (known.length === 0 || known.includes(here)) return;
  const rule = `a Mesos that starts containers with control groups version ${here}, which this machine's Docker has (it has code for version ${known.join(" and ")})`;
  const fix = FIX[here] ?? "name another Mesos (make mesos)";
  throw new ConfigError(environment, [{ key: "mesosSource", value: config.mesosSource, rule, fix }]);
}
