import { sourcesFor } from "../cluster/mesos-sources.ts";
import { MESOS_HOME } from "../cluster/services/mesos/mesos.ts";
import { ConfigError } from "../config/problems.ts";
import type { Config } from "../config/schema.ts";
import { type Docker, docker, dockerLines } from "./docker.ts";

/** Files of control groups by whose names a Mesos shows that it has code for a version: only that version has them. */
const CODE_FOR: Readonly<Record<number, string>> = { 1: "cpu.cfs_quota_us", 2: "cgroup.subtree_control" };

/** What to do where agents need another version than Docker has. */
function fixFor(here: number): string {
  const known = sourcesFor(here);
  const named = known.length > 0 ? ` (published for version ${here}: ${known.join(", ")})` : "";
  const another = `name another Mesos${named}`;
  if (here === 1) return `${another}, or boot with control groups version 2`;
  return `use architecture vanilla or mesos-in-docker here, ${another}, or boot with systemd.unified_cgroup_hierarchy=0 (and SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 from systemd 256 on)`;
}

/** Version of control groups that this machine's Docker has. */
const dockersControlGroups = async (d: Docker): Promise<number> =>
  Number(await docker(d, ["info", "--format", "{{.CgroupVersion}}"]));

/**
 * Whether this machine's Docker has the version of control groups that the config asks for. Needs no image: it is asked first.
 *
 * @throws ConfigError where it has another.
 */
export async function checkAskedFor(d: Docker, config: Config, environment: string): Promise<void> {
  if (config.mesosCgroups === "auto") return;
  const here = await dockersControlGroups(d);
  if (here === Number(config.mesosCgroups)) return;
  const rule = `auto or ${here}, the version that this machine's Docker has`;
  const fix = `set mesosCgroups to auto; ${fixFor(here)}`;
  throw new ConfigError(environment, [{ key: "mesosCgroups", value: config.mesosCgroups, rule, fix }]);
}

/**
 * Whether agents can start containers here. A Mesos looks for the CPU's control group of the version that it has code for, and
 * would else only say so in an agent's log. What it calls itself says nothing: forks with code for version 2 are "1.11.0" too.
 *
 * @param image The agents' image, with Mesos in it.
 * @throws ConfigError where they cannot.
 */
export async function checkControlGroups(d: Docker, image: string, config: Config, environment: string): Promise<void> {
  const here = await dockersControlGroups(d);
  const library = `${MESOS_HOME}/lib/libmesos.so`;
  const look = Object.entries(CODE_FOR).map(([version, file]) => `grep -qF ${file} ${library} && echo ${version}`);
  const run = ["run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", `${look.join("; ")}; true`];
  const known = (await dockerLines(d, run)).map(Number);
  // A Mesos with neither file is unknown here. Its agents' logs say what they lack.
  if (known.length === 0 || known.includes(here)) return;
  const rule = `a Mesos that starts containers with control groups version ${here}, which this machine's Docker has (it has code for version ${known.join(" and ")})`;
  throw new ConfigError(environment, [{ key: "mesosSource", value: config.mesosSource, rule, fix: fixFor(here) }]);
}
