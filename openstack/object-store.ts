import { containerName, makesContainer, segmentsName } from "../cluster/object-store.ts";
import type { Cluster } from "../cluster/types.ts";
import type { Cloud } from "./cloud.ts";
import type { Findings } from "./findings.ts";

/** The cloud's own object store: whether it has one that speaks S3, whether its names are free, and who has keys for it. */

/** Metadata of a container that says whose it is, as Swift and the provider write its name. */
export const CLUSTER_METADATA = "Triplewide-Cluster";

/** How drivers reach the object store. */
export interface ObjectStoreFacts {
  /** Address of its S3 interface, without a slash at the end. */
  endpoint: string;
  /** Region that requests are signed for, which need not be the cloud's. */
  region: string;
}

/** Region that requests are signed for where the store does not insist on another. */
const USUAL_REGION = "us-east-1";

const S3_WAY_OUT = "set objectStore to none, or name a store with s3Endpoint, s3AccessKey and s3SecretKey";

/** @returns Nothing where the config asks for no container, or where there can be none, which is then among the findings. */
export async function findObjectStore(
  cloud: Cloud,
  cluster: Cluster,
  findings: Findings,
): Promise<ObjectStoreFacts | undefined> {
  const c = cluster.config;
  if (!makesContainer(c)) return undefined;
  const refuse = (wrong: string, fix: string): void => findings.refuse("objectStore", c.objectStore, wrong, fix);
  const store = await cloud.endpoint("object-store");
  if (store === undefined) {
    refuse("this cloud has no object store (Swift, or Ceph with its API)", S3_WAY_OUT);
    return undefined;
  }
  await checkNames(cloud, cluster, refuse);
  // Where the catalogue does not list the S3 interface, it is at the root of the same server.
  const listed = await cloud.endpoint("s3");
  const candidates = [...new Set([...(listed === undefined ? [] : [listed]), new URL(store).origin])];
  for (const endpoint of candidates) {
    const region = await askS3(cloud, endpoint);
    if (region === undefined) continue;
    if (endpoint.startsWith("https:") && cloud.credentials.tls.ca !== undefined && c.trustedCertificates.length === 0) {
      findings.warn(
        `objectStore: this machine trusts ${endpoint} by the certificates of ${cloud.credentials.setting("cacert")}, which notebooks do not have. Fix: give them in trustedCertificates`,
      );
    }
    return { endpoint, region };
  }
  const where = candidates.join(" and at ");
  refuse(`this cloud's object store has no S3 interface at ${where}`, `ask for it (Swift's s3api), or ${S3_WAY_OUT}`);
  return undefined;
}

/**
 * Names of the keys for S3 that our user has in our project, whoever asked for them.
 *
 * @throws CloudError when the cloud cannot be asked.
 */
export async function accessKeys(cloud: Cloud): Promise<string[]> {
  const path = `/users/${await cloud.userId()}/credentials/OS-EC2`;
  const project = await cloud.projectId();
  const { credentials } = await cloud.get<{ credentials: { access: string; tenant_id: string }[] }>("identity", path);
  return credentials.filter(({ tenant_id }) => tenant_id === project).map(({ access }) => access);
}

/** Refuses a name under which somebody else keeps objects: the container would become the cluster's, and would be deleted with it. */
async function checkNames(cloud: Cloud, cluster: Cluster, refuse: (wrong: string, fix: string) => void): Promise<void> {
  for (const name of [containerName(cluster.config), segmentsName(cluster.config)]) {
    const found = await cloud.headers("object-store", `/${encodeURIComponent(name)}`);
    if (found === undefined || found[`x-container-meta-${CLUSTER_METADATA.toLowerCase()}`] === cluster.name) continue;
    const fix = `choose another clusterName, or, where what it holds may go with the cluster: openstack container set --property ${CLUSTER_METADATA}=${cluster.name} ${name}`;
    refuse(`there is a container ${name} that this cluster did not make`, fix);
  }
}

/**
 * Asks for the buckets of nobody: an S3 interface refuses in its own words, whoever asks.
 *
 * @returns The region that it wants requests to be signed for; `undefined` where this is no S3 interface.
 */
async function askS3(cloud: Cloud, endpoint: string): Promise<string | undefined> {
  const now = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const scope = `triplewide/${now.slice(0, 8)}/${USUAL_REGION}/s3/aws4_request`;
  const answer = await cloud.ask(`${endpoint}/`, {
    authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=${"0".repeat(64)}`,
    "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
    "x-amz-date": now,
  });
  if (!/<Error>[\s\S]*<Code>\w+<\/Code>|<ListAllMyBucketsResult/.test(answer)) return undefined;
  return /<Region>([\w-]+)<\/Region>/.exec(answer)?.[1] ?? /expecting '([\w-]+)'/.exec(answer)?.[1] ?? USUAL_REGION;
}
