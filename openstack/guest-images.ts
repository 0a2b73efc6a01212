import type { Cluster } from "../cluster/types.ts";
import { required } from "../config/schema.ts";
import type { Cloud } from "./cloud.ts";
import { unlessRefused } from "./errors.ts";
import { type Findings, instead } from "./findings.ts";
import type { GuestSystem } from "./guest-system.ts";
import type { ExistingMachine } from "./inventory.ts";

/** The image that machines are made from: which one a name means, and for how long. */

/** An image as Glance describes it; its properties stand beside these. */
export interface Image extends GuestSystem {
  id: string;
  status: string;
  min_ram?: number;
  min_disk?: number;
  size?: number | null;
  disk_format?: string;
  visibility?: string;
  virtual_size?: number | null;
}

/** The image that machines are made from: the one that they have, as long as the config calls it the same. */
export async function findImage(
  cloud: Cloud,
  cluster: Cluster,
  existing: ReadonlyMap<string, ExistingMachine>,
  findings: Findings,
): Promise<Image | undefined> {
  const wanted = required(cluster.config, "image");
  const servers = [...existing.values()].filter((m) => m.imageId !== undefined && m.status !== "ERROR");
  const newest = servers.sort((a, b) => (a.created ?? "").localeCompare(b.created ?? "")).at(-1);
  if (newest?.imageId === undefined || UUID.test(wanted)) return lookUpImage(cloud, wanted, findings);
  const there = await cloud.find<Image>("image", `/images/${newest.imageId}`);
  // Servers of before the name was kept: the image's own name, which a cloud may have changed since.
  if ((newest.image ?? there?.name) !== wanted) return lookUpImage(cloud, wanted, findings);
  const others = await cloud.list<Image>("image", "/images", "images", { name: wanted, status: "active" });
  const newer = others.filter((i) => i.id !== newest.imageId && i.status === "active").map((i) => i.id);
  const move = "To move every machine to another one, set image to its id";
  if (there?.status !== "active") {
    const gone = `the image ${newest.imageId} that its machines have is ${there?.status ?? "not there any more"}`;
    const complete = cluster.machines.every(
      (m) => existing.get(m.name)?.serverId && existing.get(m.name)?.status !== "ERROR",
    );
    if (!complete) {
      const fix = `set image to the id of another one${newer.length > 0 ? `, such as ${newer[0]}` : ""}; every machine is then replaced`;
      findings.refuse("image", wanted, `${gone}, so that no machine can be made`, fix);
      return undefined;
    }
    findings.warn(`image: ${gone}; machines that have to be made anew cannot be. ${move}`);
    return { ...(there ?? {}), id: newest.imageId, name: wanted, status: "active" };
  }
  if (newer.length > 0) {
    findings.warn(`image: ${wanted} now also means ${newer.join(", ")}; machines keep ${newest.imageId}. ${move}`);
  }
  return there;
}

/** Formats of what no machine boots from as its own disk. */
const NO_DISKS: ReadonlySet<string> = new Set(["iso", "aki", "ari"]);

/** @param key What named it. */
export async function lookUpImage(
  cloud: Cloud,
  wanted: string,
  findings: Findings,
  key = "image",
): Promise<Image | undefined> {
  const named = await cloud.list<Image>("image", "/images", "images", { name: wanted });
  const [byId] = named.length > 0 ? [] : [await findById<Image>(cloud, "image", "/images", wanted)];
  const active = (byId ? [byId] : named).filter((i) => i.status === "active");
  const [image] = active;
  if (image && active.length === 1) {
    if (NO_DISKS.has(image.disk_format ?? ""))
      findings.refuse(
        key,
        wanted,
        `it is no disk (its disk_format is ${image.disk_format})`,
        "use a cloud image: qcow2 or raw",
      );
    return image;
  }
  if (image) {
    const ids = active.map((i) => i.id).join(", ");
    findings.refuse(key, wanted, `${active.length} images have this name`, `give the id of one: ${ids}`);
    return undefined;
  }
  const [other] = byId ? [byId] : named;
  if (other) {
    findings.refuse(key, wanted, `its status is ${other.status}`, "use an image whose status is active");
  } else {
    const [all, offered] = await Promise.all([
      cloud.list<Image>("image", "/images", "images", { status: "active" }),
      // Anybody may offer one, under any name: lists do not show them.
      unlessRefused(cloud.list<Image>("image", "/images", "images", { name: wanted, visibility: "community" }), []),
    ]);
    const ids = offered.filter((i) => i.name === wanted && i.visibility === "community").map((i) => i.id);
    const names = [...new Set(all.map((i) => i.name).filter(Boolean))].sort();
    const trusted = `where you trust whose it is, give its id: ${ids.join(", ")}`;
    findings.refuse(
      key,
      wanted,
      ids.length > 0 ? "only others of the cloud's users offer one of that name" : "there is no such image",
      ids.length > 0 ? trusted : instead(wanted, names),
    );
  }
  return undefined;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Asks for an id only where the text can be one: services answer anything else with all kinds of errors. */
export async function findById<T>(
  cloud: Cloud,
  service: "image" | "network",
  path: string,
  id: string,
): Promise<T | undefined> {
  return UUID.test(id) ? cloud.find<T>(service, `${path}/${id}`) : undefined;
}

const GIB = 1024 ** 3;

/** GB of the disk that an image needs. */
export const diskNeeded = (image: Image): number =>
  Math.max(image.min_disk ?? 0, Math.ceil(Math.max(image.virtual_size ?? 0, image.size ?? 0) / GIB));
