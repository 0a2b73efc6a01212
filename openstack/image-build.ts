import { setTimeout as sleep } from "node:timers/promises";
import { addressAt } from "../cluster/addresses.ts";
import type { Cluster } from "../cluster/types.ts";
import { UserError } from "../lib/errors.ts";
import type { Service } from "./catalog.ts";
import { type Cloud, CloudError } from "./cloud.ts";
import type { Image } from "./guest-images.ts";
import { BROKEN, buildName, ImageCleanUp, type Named, UNFINISHED_KEY, type Volume } from "./image-cleanup.ts";
import { contentsOf, property, SOURCE_KEY, SOURCE_NAME_KEY, VERSION_KEY } from "./image-contents.ts";
import { type ImageLimits, limitsOf, pauseMs } from "./image-limits.ts";
import type { BootVolume, ImagePlan } from "./image-plan.ts";

/**
 * Makes an image in which the packages of a cluster's machines are there already. A server boots from the guest image, installs them and
 * powers off; the image is taken of it, and everything else that was made for it is deleted again, however that ends. Where machines boot
 * from volumes, so does that server, and the image is made from the volume.
 */

const DATE_KEY = "triplewide_date";
/** Properties by which a hypervisor treats an image, and by which its system is known. */
const KEPT = /^(hw_|os_(?!hash_|hidden$|glance_)|img_|architecture$)/;

export interface ImageWork {
  cluster: Cluster;
  cloud: Cloud;
  plan: ImagePlan;
  version: string;
  /** In base64, as Nova takes it. */
  userData: string;
  limits?: ImageLimits;
  /** Ends the work when aborted; what was made is deleted all the same. */
  signal?: AbortSignal;
  /** Takes one line at a time. */
  report: (line: string) => void;
  now: Date;
}

/**
 * Makes the image, and deletes everything that was made for it.
 *
 * @returns The image's id.
 * @throws UserError that says what went wrong, and what could not be deleted.
 */
export async function makeImage(work: ImageWork): Promise<string> {
  const { cluster, cloud, plan } = work;
  const limits = limitsOf(work.limits);
  const cleanUp = new ImageCleanUp({ cloud, clusterName: cluster.name, volumes: plan.volume !== undefined, limits });
  const build = new Build(work, limits, cleanUp);
  const before = await cleanUp.clear();
  if (before.removed.length > 0) work.report(`removed what an earlier run had left: ${before.removed.join(", ")}`);
  if (before.left.length > 0) throw new UserError(`an earlier run left ${before.left.join("; ")}; nothing was made`);
  let id: string;
  try {
    id = await build.make();
  } catch (error) {
    const { left } = await cleanUp.clear();
    for (const one of left) work.report(`left behind: ${one}`);
    throw error;
  }
  const { left } = await cleanUp.clear();
  if (left.length > 0) throw new UserError(`image ${plan.name} (${id}) is there, but this is left: ${left.join("; ")}`);
  return id;
}

interface Server {
  id: string;
  name: string;
  status: string;
  fault?: { message?: string };
}

/** Formats that Cinder writes images in, and every Glance takes. */
const FORMATS = ["raw", "qcow2"];

/** A line of what the server's own script says: how far it is. */
const SAID = /triplewide +\d+s (.*?)\r?$/gm;
const FAILED = /^failed: /;
const DONE = "image: ready to be taken";

class Build {
  readonly #work: ImageWork;
  readonly #cloud: Cloud;
  readonly #name: string;
  readonly #limits: Required<ImageLimits>;
  readonly #cleanUp: ImageCleanUp;
  readonly #said = new Set<string>();

  constructor(work: ImageWork, limits: Required<ImageLimits>, cleanUp: ImageCleanUp) {
    this.#work = work;
    this.#cloud = work.cloud;
    this.#name = buildName(work.cluster.name);
    this.#limits = limits;
    this.#cleanUp = cleanUp;
  }

  async make(): Promise<string> {
    const { plan, report } = this.#work;
    const portId = await this.#port();
    const volume = plan.volume && (await this.#volume(plan.volume));
    const server = await this.#server(portId, volume);
    report(`server ${this.#name} boots from ${plan.source.name} on ${plan.flavor.name}`);
    await this.#poweredOff(server);
    report(`server ${this.#name} is off: the cloud takes the image`);
    const imageId = volume === undefined ? await this.#take(server) : await this.#upload(server, volume);
    const image = await this.#active(imageId);
    await this.#finish(image);
    return imageId;
  }

  /** Makes something, and gives its id. */
  async #post(service: Service, path: string, key: string, body: object): Promise<string> {
    this.#work.signal?.throwIfAborted();
    const { document } = await this.#cloud.change<Record<string, { id: string }>>(service, path, {
      method: "POST",
      body: { [key]: body },
    });
    return document[key]?.id ?? "";
  }

  /** The server's port, with the network that it needs where none is named. */
  async #port(): Promise<string> {
    const { plan, cluster } = this.#work;
    const c = cluster.config;
    const name = this.#name;
    // Nobody connects to it; it connects to mirrors.
    const group = await this.#post("network", "/security-groups", "security_group", {
      name,
      description: `triplewide ${cluster.name}: image`,
    });
    let networkId = plan.networkId;
    if (networkId === undefined) {
      networkId = await this.#post("network", "/networks", "network", { name });
      const subnetId = await this.#post("network", "/subnets", "subnet", {
        name,
        network_id: networkId,
        ip_version: 4,
        cidr: c.networkCidr,
        gateway_ip: addressAt(c.networkCidr, 1),
        ...(c.dnsServers.length > 0 ? { dns_nameservers: c.dnsServers } : {}),
      });
      const routerId = await this.#post("network", "/routers", "router", {
        name,
        external_gateway_info: { network_id: plan.externalNetwork?.id },
      });
      await this.#cloud.change("network", `/routers/${routerId}/add_router_interface`, {
        method: "PUT",
        body: { subnet_id: subnetId },
      });
    }
    const subnet = networkId === c.existingNetworkId ? c.existingSubnetId : undefined;
    return this.#post("network", "/ports", "port", {
      name,
      network_id: networkId,
      security_groups: [group],
      ...(subnet === undefined ? {} : { fixed_ips: [{ subnet_id: subnet }] }),
    });
  }

  /** The volume that the server boots from, once the image is on it. It is not made by Nova, which would give it no name to find it by. */
  async #volume({ sizeGb, type, zone }: BootVolume): Promise<string> {
    const { plan, report } = this.#work;
    const id = await this.#post("volume", "/volumes", "volume", {
      name: this.#name,
      size: sizeGb,
      imageRef: plan.source.id,
      volume_type: type,
      availability_zone: zone,
    });
    report(`volume ${this.#name} is made of ${plan.source.name}`);
    await this.#available(id);
    return id;
  }

  /** Waits until a volume can be used. */
  async #available(id: string): Promise<void> {
    const { imageSeconds } = this.#limits;
    let status = "";
    await this.#until(
      imageSeconds,
      async () => {
        const found = await this.#cloud.find<{ volume: Volume }>("volume", `/volumes/${id}`);
        status = found?.volume.status ?? "gone";
        if (status === "gone" || BROKEN.test(status))
          throw new UserError(
            `volume ${this.#name} is ${status}; no image was made. Fix: see that the project has room for it, and run this again`,
          );
        return status === "available" ? true : undefined;
      },
      () => `volume ${this.#name} is still ${status} after ${imageSeconds} s. Fix: give it more in --timeout`,
    );
  }

  #server(port: string, volume: string | undefined): Promise<string> {
    const { plan, cluster, userData } = this.#work;
    const [zone] = cluster.config.availabilityZones;
    const disk = { uuid: volume, source_type: "volume", destination_type: "volume", boot_index: 0 };
    return this.#post("compute", "/servers", "server", {
      name: this.#name,
      ...(volume === undefined
        ? { imageRef: plan.source.id }
        : { block_device_mapping_v2: [{ ...disk, delete_on_termination: false }] }),
      flavorRef: plan.flavor.id,
      networks: [{ port }],
      user_data: userData,
      ...(zone === undefined ? {} : { availability_zone: zone }),
      ...(cluster.config.configDrive ? { config_drive: true } : {}),
    });
  }

  /** Asks until there is an answer. @throws UserError of `late` after the time. */
  async #until<T>(seconds: number, ask: () => Promise<T | undefined>, late: () => string): Promise<T> {
    const deadline = Date.now() + seconds * 1000;
    for (let asked = 0; ; asked++) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      if (Date.now() >= deadline) throw new UserError(late());
      await sleep(pauseMs(this.#limits, asked), undefined, this.#work.signal ? { signal: this.#work.signal } : {});
    }
  }

  /** Waits until the server has powered off by itself, which it does when all is installed. */
  async #poweredOff(id: string): Promise<void> {
    const { bootSeconds } = this.#limits;
    let console = "";
    await this.#until(
      bootSeconds,
      async () => {
        const found = await this.#cloud.find<{ server: Server }>("compute", `/servers/${id}`);
        if (!found) throw new UserError(`server ${this.#name} was deleted by someone; no image was made`);
        const { status, fault } = found.server;
        if (status === "ERROR")
          throw new UserError(`server ${this.#name} is in ERROR: ${fault?.message ?? "the cloud does not say why"}`);
        console = (await this.#console(id)) ?? console;
        const said = this.#progress(console);
        const failed = said.findLast((line) => FAILED.test(line));
        if (failed !== undefined)
          throw new UserError(
            `server ${this.#name} could not be prepared: ${failed.replace(FAILED, "")}. Last on its console:\n${lastOf(console)}`,
          );
        if (status !== "SHUTOFF") return undefined;
        // Where its console tells how far it came, that is what counts: someone may have stopped it.
        if (said.length > 0 && !said.includes(DONE))
          throw new UserError(`server ${this.#name} was stopped before it was done; no image was made`);
        return true;
      },
      () =>
        `server ${this.#name} has not powered off within ${bootSeconds} s. Fix: look at the last of its console, give --timeout, or a way to its mirrors (aptMirror, httpProxy, --network):\n${lastOf(console)}`,
    );
  }

  /** The end of the server's console; `undefined` where the cloud shows none. */
  async #console(id: string): Promise<string | undefined> {
    try {
      const body = { "os-getConsoleOutput": { length: 200 } };
      const { document } = await this.#cloud.change<{ output?: string }>("compute", `/servers/${id}/action`, {
        method: "POST",
        body,
      });
      return document.output;
    } catch (error) {
      if (error instanceof CloudError) return undefined;
      throw error;
    }
  }

  /** Reports what the server's script has said since the last time. @returns All that it has said. */
  #progress(console: string): string[] {
    const said = [...console.matchAll(SAID)].map(([, line = ""]) => line.trim());
    for (const line of said) {
      if (!this.#said.has(line)) this.#work.report(`  ${line}`);
      this.#said.add(line);
    }
    return said;
  }

  /** @returns The image's id. */
  async #take(server: string): Promise<string> {
    const { plan, cluster } = this.#work;
    const metadata = { [UNFINISHED_KEY]: cluster.name };
    const { headers } = await this.#cloud.change("compute", `/servers/${server}/action`, {
      method: "POST",
      body: { createImage: { name: plan.name, metadata } },
    });
    const id =
      String(headers.location ?? "")
        .split("/")
        .at(-1) ?? "";
    if (id !== "") return id;
    const named = await this.#cloud.list<Named>("image", "/images", "images", { name: plan.name });
    return named.find(({ name }) => name === plan.name)?.id ?? "";
  }

  /**
   * Has the cloud make the image from the volume, which it does of one that no server has.
   *
   * @returns The image's id.
   */
  async #upload(server: string, volume: string): Promise<string> {
    const { plan, cluster } = this.#work;
    await this.#cleanUp.removeServer(server).catch((error: Error) => {
      throw new UserError(`server ${this.#name} keeps its volume: ${error.message}; no image was made`);
    });
    await this.#available(volume);
    const action = async <T>(name: string, body: object): Promise<T> => {
      this.#work.signal?.throwIfAborted();
      const change = { method: "POST", body: { [name]: body } } as const;
      return (await this.#cloud.change<T>("volume", `/volumes/${volume}/action`, change)).document;
    };
    // The image gets these properties when it is begun.
    await action("os-set_image_metadata", { metadata: { [UNFINISHED_KEY]: cluster.name } });
    // As the cloud has its own images.
    const disk_format = FORMATS.find((format) => format === plan.source.disk_format) ?? "raw";
    const body = { image_name: plan.name, container_format: "bare", disk_format, force: false };
    const answer = await action<{ "os-volume_upload_image"?: { image_id?: string } }>("os-volume_upload_image", body);
    return answer["os-volume_upload_image"]?.image_id ?? "";
  }

  #active(id: string): Promise<Image> {
    const { name } = this.#work.plan;
    const { imageSeconds } = this.#limits;
    return this.#until(
      imageSeconds,
      async () => {
        const image = await this.#cloud.find<Image>("image", `/images/${id}`);
        const status = image?.status ?? "gone";
        if (["gone", "killed", "deleted", "error"].includes(status))
          throw new UserError(
            `the cloud could not take image ${name}: it is ${status}. Fix: see that the project has room for it, and run this again`,
          );
        return image?.status === "active" ? image : undefined;
      },
      () => `the cloud has not taken image ${name} within ${imageSeconds} s. Fix: give it more in --timeout`,
    );
  }

  /** Writes the image's properties and removes the mark of an unfinished one, in one request, so that there is no state in between. */
  async #finish(image: Image): Promise<void> {
    const { plan, version, now } = this.#work;
    const missing = Object.entries(plan.source).filter(
      ([key, value]) => KEPT.test(key) && typeof value === "string" && property(image, key) === undefined,
    );
    const own: [string, string][] = [
      [SOURCE_KEY, plan.source.id],
      [SOURCE_NAME_KEY, plan.source.name],
      ...contentsOf(plan.packages),
      [VERSION_KEY, version],
      [DATE_KEY, now.toISOString().slice(0, 10)],
    ];
    const least = {
      min_disk: Math.max(plan.source.min_disk ?? 0, plan.volume?.sizeGb ?? 0),
      min_ram: plan.source.min_ram ?? 0,
    };
    const larger = (["min_disk", "min_ram"] as const).filter((key) => (image[key] ?? 0) < least[key]);
    const body = [
      ...[...missing, ...own].map(([key, value]) => ({ op: "add", path: `/${key}`, value })),
      ...larger.map((key) => ({ op: "replace", path: `/${key}`, value: least[key] })),
      ...(property(image, UNFINISHED_KEY) === undefined ? [] : [{ op: "remove", path: `/${UNFINISHED_KEY}` }]),
    ];
    try {
      await this.#cloud.change("image", `/images/${image.id}`, { method: "PATCH", body });
    } catch (error) {
      if (!(error instanceof CloudError && error.status === 0)) throw error;
      // It may have been done, and only the answer is lost.
      const found = await this.#cloud.find<Image>("image", `/images/${image.id}`);
      if (!found || property(found, SOURCE_KEY) !== plan.source.id) throw error;
    }
  }
}

/** The last lines of a console; what it is where there is none. */
function lastOf(console: string): string {
  const lines = console.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length === 0) return "  (this cloud shows no console: openstack console log show)";
  return lines
    .slice(-15)
    .map((line) => `  ${line}`)
    .join("\n");
}
