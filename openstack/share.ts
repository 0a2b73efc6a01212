import { usesShare } from "../cluster/shared-storage.ts";
import type { Cluster } from "../cluster/types.ts";
import type { Cloud } from "./cloud.ts";
import { CloudError } from "./errors.ts";
import type { Findings } from "./findings.ts";
import { shareName } from "./inventory.ts";
import { compare, limitOf } from "./quota.ts";

/** The cloud's shares: whether it has any, and what kind of them the config names. */

/** What is known of the share type. */
export interface ShareFacts {
  /** Whether it makes a server for each network that shares are in, and so has to be told the machines'. */
  ownServer: boolean;
}

interface ShareType {
  id: string;
  name: string;
  required_extra_specs?: Record<string, string>;
  extra_specs?: Record<string, string>;
}

/** @returns Nothing where the config asks for no share, or where there can be none, which is then among the findings. */
export async function findShare(cloud: Cloud, cluster: Cluster, findings: Findings): Promise<ShareFacts | undefined> {
  const c = cluster.config;
  if (!usesShare(c)) return undefined;
  if (!(await cloud.has("share"))) {
    const fix = "set sharedStorage to nfs: the client then serves the folder from its data volume";
    findings.refuse("sharedStorage", c.sharedStorage, "this cloud has no service for shares (Manila)", fix);
    return undefined;
  }
  await checkShareQuota(cloud, cluster, findings);
  const types = await cloud.list<ShareType>("share", "/types", "share_types");
  const names = types.map(({ name }) => name).sort();
  const type =
    c.shareType === undefined
      ? (await cloud.find<{ share_type: ShareType }>("share", "/types/default"))?.share_type
      : types.find(({ name, id }) => name === c.shareType || id === c.shareType);
  if (!type) {
    const wrong = c.shareType === undefined ? "this cloud has no default share type" : "there is no such share type";
    const fix = names.length > 0 ? `use one of ${names.join(", ")}` : "ask the cloud for a share type with NFS";
    findings.refuse("shareType", c.shareType, wrong, fix);
    return undefined;
  }
  const specs = { ...type.extra_specs, ...type.required_extra_specs };
  return { ownServer: /^true$/i.test(String(specs.driver_handles_share_servers)) };
}

/** Room for the share, unless it is there already. */
async function checkShareQuota(cloud: Cloud, cluster: Cluster, findings: Findings): Promise<void> {
  const c = cluster.config;
  const name = shareName(cluster.name);
  try {
    const [{ limits }, there] = await Promise.all([
      cloud.get<{ limits?: { absolute?: Partial<Record<string, number>> } }>("share", "/limits"),
      cloud.list<{ name: string | null }>("share", "/shares", "shares", { name }),
    ]);
    if (there.some((share) => share.name === name)) return;
    const a = limits?.absolute ?? {};
    const other = "set sharedStorage to nfs";
    const shares = limitOf(a.maxTotalShares, a.totalSharesUsed);
    compare(findings, "shares", 1, shares, "sharedStorage", c.sharedStorage, other);
    const room = limitOf(a.maxTotalShareGigabytes, a.totalShareGigabytesUsed);
    compare(findings, "GB of shares", c.shareGb, room, "shareGb", c.shareGb, "use a smaller one");
  } catch (error) {
    if (!(error instanceof CloudError) || (error.status !== 403 && error.status !== 404)) throw error;
    findings.warn("quota: the share service does not show this project's quota; it was not checked");
  }
}
