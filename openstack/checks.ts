import { hostKeyAlias } from "../cluster/host-keys.ts";
import type { Cluster } from "../cluster/types.ts";
import { type Check, ok, problem, warning } from "../lib/checks.ts";
import { keyProblem } from "../machines/keys.ts";
import { Cloud } from "./cloud.ts";
import { CloudError } from "./errors.ts";
import type { Wanted } from "./image-contents.ts";
import { PreflightError, preflight } from "./preflight.ts";
import { CLOCK_SECONDS } from "./project.ts";

/** What of a cloud would stop an `up`: the preflight, as a list that also says what holds. Changes nothing. */

/** @param folder Folder whose `clouds.yaml` comes first. @param wanted What an image that holds packages is compared with. */
export async function checkCloud(cluster: Cluster, folder: string, wanted: Wanted): Promise<Check[]> {
  try {
    return await Cloud.with({ folder }, (cloud) => cloudChecks(cluster, cloud, { wanted }));
  } catch (error) {
    if (!(error instanceof CloudError)) throw error;
    return [problem("credentials", error.message)];
  }
}

interface CloudCheckOptions {
  /** What an image that holds packages is compared with. @default it is not looked at */
  wanted?: Wanted;
  /** The account's home, with the keys of SSH. @default the user's */
  home?: string;
}

/** The checks of one cloud. */
export async function cloudChecks(
  cluster: Cluster,
  cloud: Cloud,
  { wanted, home }: CloudCheckOptions = {},
): Promise<Check[]> {
  const checks: Check[] = [];
  let facts: Awaited<ReturnType<typeof preflight>> | undefined;
  let found: PreflightError | undefined;
  try {
    facts = await preflight(cluster, cloud, { wanted });
  } catch (error) {
    if (!(error instanceof PreflightError)) throw error;
    found = error;
  }
  const problems = found?.problems ?? [];
  if (!problems.some((p) => p.key === "credentials")) {
    const { region } = cloud.credentials;
    const roles = (await cloud.roles()).join(", ");
    const where = `project ${await cloud.projectName()}${region && `, region ${region}`}`;
    checks.push(ok("credentials", `${where}${roles && `, roles ${roles}`}`));
    const ahead = await cloud.clockAheadSeconds();
    if (ahead !== undefined && Math.abs(ahead) <= CLOCK_SECONDS) checks.push(ok("clock", "agrees with the cloud's"));
  }
  if (facts) {
    const flavors = Object.values(facts.flavors).map((f) => `${f.name} (${f.vcpus} vCPUs, ${f.ramMiB} MiB)`);
    checks.push(ok("image", `${cluster.config.image} is ${facts.imageId}`));
    checks.push(ok("flavors", flavors.join(", ")));
    if (facts.externalNetworkName) checks.push(ok("network", `${facts.externalNetworkName} leads outside`));
    if (facts.publicKey !== "") {
      const wrong = await keyProblem(facts.publicKey, hostKeyAlias(cluster, { name: "bastion" }), home);
      checks.push(wrong ? problem("keyPair", wrong.wrong, wrong.fix) : ok("keyPair", "SSH has its private key"));
    }
    checks.push(ok("quota", "has room, as have zones, volumes and networks; the config's sources answer"));
  }
  for (const { key, value, wrong, fix } of problems) {
    const got = value === undefined ? "" : `${JSON.stringify(value)}: `;
    checks.push(problem(key, got + wrong, fix));
  }
  for (const text of facts?.warnings ?? found?.warnings ?? []) {
    const [, what = "cloud", said = text] = /^([A-Za-z]+): ([\s\S]*)$/.exec(text) ?? [];
    const [found = said, ...fix] = said.split(". Fix: ");
    checks.push(warning(what, found, fix.join(". Fix: ")));
  }
  return checks;
}
