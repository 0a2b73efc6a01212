import type { Cluster } from "../cluster/types.ts";
import type { Cloud } from "./cloud.ts";
import { Findings, instead, PreflightError } from "./findings.ts";
import { type Flavor, listFlavors, usedFlavors } from "./flavors.ts";
import { diskNeeded, findById, type Image, lookUpImage } from "./guest-images.ts";
import { checkGuestSystem } from "./guest-system.ts";
import { hashOf, PACKAGES_KEY, property, SOURCE_KEY, SOURCE_NAME_KEY, VERSION_KEY } from "./image-contents.ts";
import { findExternalNetwork, type Network } from "./networks.ts";
import { checkProject } from "./project.ts";
import { checkBootVolume, checkVolumeType, refuseBootVolume } from "./volumes.ts";

/** What an image that holds the machines' packages would be made of (`image-build.ts`). */

/** MiB that installing packages takes. */
const LEAST_RAM = 1024;

export interface ImageRequest {
  cluster: Cluster;
  cloud: Cloud;
  /** Debian packages that the image is to hold. */
  packages: readonly string[];
  /** Version of this program. */
  version: string;
  /** Name or id of the image to start from. @default the config's, or the one that it was made of */
  from?: string;
  /** Name or id of the server's flavor. @default the smallest that will do */
  flavor?: string;
  /** Id of a network with a way to the package mirrors. @default the config's, or one that is made for it */
  network?: string;
  now: Date;
}

export interface BootVolume {
  sizeGb: number;
  /** @default the cloud's own */
  type?: string;
  /** Zone of Cinder. @default the cloud's own */
  zone?: string;
}

/** What would be made, and of what. */
export interface ImagePlan {
  name: string;
  source: Image;
  flavor: Flavor;
  /** Volume that the server boots from. `undefined`: it boots from its flavor's disk. */
  volume: BootVolume | undefined;
  /** Network that exists. `undefined`: one is made, with a router to `externalNetwork`. */
  networkId: string | undefined;
  externalNetwork: Network | undefined;
  packages: readonly string[];
  /** An image of the same source, packages and version. */
  upToDate: Image | undefined;
  /** What may be wrong but cannot be told from here, one line each. */
  warnings: readonly string[];
}

/**
 * Finds out what an image would be made of. Changes nothing.
 *
 * @throws PreflightError with every problem at once.
 */
export async function planImage(request: ImageRequest): Promise<ImagePlan> {
  const { cluster, cloud, packages, version, now } = request;
  const c = cluster.config;
  const findings = new Findings();
  checkSecrets(cluster, findings);
  await checkProject(cloud, findings);
  const source = await sourceImage(request, findings);
  if (source) checkGuestSystem(cluster, source, findings);
  const flavor = source && (await chooseFlavor(request, source, findings));
  const volume = source && (await bootVolume(request, source, findings));
  const networkId = request.network ?? c.existingNetworkId;
  if (networkId !== undefined) await checkNetwork(cloud, networkId, request, findings);
  const externalNetwork = networkId === undefined ? await findExternalNetwork(cloud, c, findings) : undefined;
  if (networkId === undefined && c.externalNetwork === undefined) {
    findings.refuse("externalNetwork", undefined, "the image's server needs a way out", "set it, or give --network");
  }
  if (findings.problems.length > 0 || !source || !flavor) {
    throw new PreflightError(cluster.name, findings.problems, findings.warnings, "no image can be made");
  }
  const stamp = now.toISOString().replace(/[-:]/g, "").slice(0, 13).replace("T", "-");
  const plain = source.name.replace(/[^A-Za-z0-9._-]+/g, "-");
  const wanted = { [SOURCE_KEY]: source.id, [PACKAGES_KEY]: hashOf(packages), [VERSION_KEY]: version };
  const there = await cloud.list<Image>("image", "/images", "images", { [SOURCE_KEY]: source.id, status: "active" });
  const same = there.filter((one) => Object.entries(wanted).every(([key, value]) => property(one, key) === value));
  return {
    name: `triplewide-${version}-${plain}-${stamp}`,
    source,
    flavor,
    volume,
    networkId,
    externalNetwork,
    packages,
    upToDate: same.find(({ status }) => status === "active"),
    warnings: findings.warnings,
  };
}

/** User data of a server is read by whoever may read the server, long after the image is made. */
function checkSecrets({ config }: Cluster, findings: Findings): void {
  const mirror = config.aptMirror;
  if (mirror === undefined || !new URL(mirror).href.includes("@")) return;
  const fix = "give a mirror without a login in --set aptMirror=…";
  findings.refuse("aptMirror", mirror, "its login would stand in the user data of the image's server", fix);
}

/** The image to start from: that of the config, and where that was made by this program, the one that it was made of. */
async function sourceImage({ cluster, cloud, from }: ImageRequest, findings: Findings): Promise<Image | undefined> {
  const key = from === undefined ? "image" : "--from";
  const wanted = from ?? cluster.config.image;
  if (wanted === undefined) {
    findings.refuse("image", undefined, "there is no image to start from", "set it, or give --from");
    return undefined;
  }
  const found = await lookUpImage(cloud, wanted, findings, key);
  const origin = found && property(found, SOURCE_KEY);
  if (typeof origin !== "string") return found;
  const source = await findById<Image>(cloud, "image", "/images", origin);
  if (source?.status === "active") return source;
  const name = found && property(found, SOURCE_NAME_KEY);
  findings.refuse(
    key,
    wanted,
    `it was made of ${name} (${origin}), which is gone`,
    "name an image to start from: --from",
  );
  return undefined;
}

/** The volume that the image's server boots from, where the cluster's machines do. */
async function bootVolume(
  { cluster: { config: c }, cloud }: ImageRequest,
  source: Image,
  findings: Findings,
): Promise<BootVolume | undefined> {
  if (c.bootVolumeGb === undefined) return undefined;
  if (!(await cloud.has("volume"))) {
    refuseBootVolume(c.bootVolumeGb, findings);
    return undefined;
  }
  checkBootVolume(c.bootVolumeGb, source, findings);
  await checkVolumeType(cloud, c, findings);
  const [zone] = c.volumeZones;
  return {
    sizeGb: c.bootVolumeGb,
    ...(c.volumeType === undefined ? {} : { type: c.volumeType }),
    ...(zone === undefined ? {} : { zone }),
  };
}

/** A flavor with a disk no larger than what the cluster's machines have, because an image is taken of it; where they boot from volumes, any. */
async function chooseFlavor(
  { cluster, cloud, flavor: wanted }: ImageRequest,
  source: Image,
  findings: Findings,
): Promise<Flavor | undefined> {
  const flavors = await listFlavors(cloud);
  const used = Object.values(usedFlavors(cluster, flavors, findings));
  const onVolume = cluster.config.bootVolumeGb !== undefined;
  const least = diskNeeded(source);
  const most = Math.min(...used.map((f) => f.diskGb));
  const range = `${Math.max(1, least)} to ${most} GB`;
  const fits = (f: Flavor): boolean => onVolume || (f.diskGb > 0 && f.diskGb >= least && f.diskGb <= most);
  if (wanted !== undefined) {
    const found = flavors.find((f) => f.name === wanted) ?? flavors.find((f) => f.id === wanted);
    if (!found) {
      const names = flavors.map((f) => f.name).sort();
      findings.refuse("--flavor", wanted, "there is no such flavor", instead(wanted, names));
    } else if (!fits(found)) {
      const wrong = `it has ${found.diskGb} GB of disk, and the image of it would not fit into this cluster's machines`;
      findings.refuse("--flavor", wanted, wrong, `name one with a disk of ${range}`);
      return undefined;
    }
    return found;
  }
  // Why there are none has been said.
  if (used.length === 0) return undefined;
  const ram = Math.max(LEAST_RAM, source.min_ram ?? 0);
  const enough = flavors.filter((f) => fits(f) && f.ramMiB >= ram);
  const named = enough.filter((f) => used.includes(f));
  const [smallest] = (named.length > 0 ? named : enough).sort(
    (a, b) => (onVolume ? 0 : a.diskGb - b.diskGb) || a.ramMiB - b.ramMiB || a.vcpus - b.vcpus,
  );
  if (!smallest) {
    const disk = onVolume ? "" : ` and a disk of ${range}`;
    const fix = onVolume ? "ask for such a flavor" : "ask for such a flavor, or set bootVolumeGb";
    findings.refuse("--flavor", undefined, `no flavor has ${ram} MiB of RAM${disk}`, fix);
  }
  return smallest;
}

async function checkNetwork(cloud: Cloud, id: string, { network }: ImageRequest, findings: Findings): Promise<void> {
  const found = await findById<{ network: Network }>(cloud, "network", "/networks", id);
  const key = network === undefined ? "existingNetworkId" : "--network";
  if (!found)
    findings.refuse(key, id, "there is no network with this id", "give the id of one: openstack network list");
}
