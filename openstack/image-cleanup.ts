import { setTimeout as sleep } from "node:timers/promises";
import { type Cloud, CloudError } from "./cloud.ts";
import type { Image } from "./guest-images.ts";
import { property } from "./image-contents.ts";
import { type ImageLimits, pauseMs } from "./image-limits.ts";

/** What is made for an image's sake, by its name, and how it is deleted again. */

/** Property of an image that is not finished: the cluster's name. What a killed run left is known by it. */
export const UNFINISHED_KEY = "triplewide_unfinished";

/** Name of all that is made for an image's sake. No cluster can have it, nor any of its parts: their names have no dot. */
export const buildName = (clusterName: string): string => `${clusterName}.image`;

/** A thing of the cloud. */
export interface Named {
  id: string;
  name: string;
}

export interface Volume {
  status: string;
}

/** Statuses of a volume that cannot be used any more. */
export const BROKEN = /^error/;

export interface CleanUpOptions {
  cloud: Cloud;
  clusterName: string;
  /** Whether a volume is made for the image: not every cloud has any. */
  volumes: boolean;
  limits: Required<ImageLimits>;
}

/** Deletes what was made for an image. */
export class ImageCleanUp {
  readonly #options: CleanUpOptions;
  readonly #cloud: Cloud;
  readonly #name: string;

  constructor(options: CleanUpOptions) {
    this.#options = options;
    this.#cloud = options.cloud;
    this.#name = buildName(options.clusterName);
  }

  /** Deletes what this run or an earlier one has made and did not finish: found by its name, because no list of it need be whole. */
  async clear(): Promise<{ removed: string[]; left: string[] }> {
    const removed: string[] = [];
    const left: string[] = [];
    const name = this.#name;
    // An administrator would see every project's.
    const project = (): Promise<string> => this.#cloud.projectId();
    const each = async <T extends Named>(
      what: string,
      list: () => Promise<T[]>,
      remove: (item: T) => Promise<void>,
    ): Promise<void> => {
      try {
        for (const item of await list()) {
          try {
            await this.#insist(() => remove(item));
            removed.push(what);
          } catch (error) {
            left.push(`${what} ${item.name} (${item.id}): ${(error as Error).message}`);
          }
        }
      } catch (error) {
        left.push(`${what} ${name}, perhaps: ${(error as Error).message}`);
      }
    };
    const named = (path: string, key: string) => async (): Promise<Named[]> => {
      const found = await this.#cloud.list<Named>("network", path, key, { project_id: await project(), name });
      return found.filter((one) => one.name === name);
    };
    const byId = (path: string) => (item: Named) => this.#cloud.remove("network", `${path}/${item.id}`);
    const servers = { name: `^${name.replace(".", "\\.")}$` };
    await each(
      "server",
      async () =>
        (await this.#cloud.list<Named>("compute", "/servers/detail", "servers", servers)).filter(
          (s) => s.name === name,
        ),
      (server) => this.#deleteServer(server.id),
    );
    await each(
      "image",
      async () => {
        const asked = { [UNFINISHED_KEY]: this.#options.clusterName, owner: await project() };
        const found = await this.#cloud.list<Image>("image", "/images", "images", asked);
        return found.filter((image) => property(image, UNFINISHED_KEY) === this.#options.clusterName);
      },
      (image) => this.#cloud.remove("image", `/images/${image.id}`),
    );
    if (this.#options.volumes) {
      await each(
        "volume",
        async () =>
          (await this.#cloud.list<Named>("volume", "/volumes/detail", "volumes", { name })).filter(
            (volume) => volume.name === name,
          ),
        (volume) => this.#deleteVolume(volume.id),
      );
    }
    await each("port", named("/ports", "ports"), byId("/ports"));
    await each("router", named("/routers", "routers"), (router) => this.#deleteRouter(router.id));
    await each("subnet", named("/subnets", "subnets"), byId("/subnets"));
    await each("network", named("/networks", "networks"), byId("/networks"));
    await each("security group", named("/security-groups", "security_groups"), byId("/security-groups"));
    return { removed, left };
  }

  /** Deletes the server, and waits until it is gone. */
  removeServer(id: string): Promise<void> {
    return this.#insist(() => this.#deleteServer(id));
  }

  async #deleteServer(id: string): Promise<void> {
    await this.#cloud.remove("compute", `/servers/${id}`);
    const deadline = Date.now() + this.#options.limits.removeSeconds * 1000;
    for (let asked = 0; await this.#cloud.find("compute", `/servers/${id}`); asked++) {
      if (Date.now() >= deadline) throw new Error(`it is still there after ${this.#options.limits.removeSeconds} s`);
      await sleep(pauseMs(this.#options.limits, asked));
    }
  }

  /** Cinder deletes no volume that it works on, such as one whose image it has just lost. */
  async #deleteVolume(id: string): Promise<void> {
    const deadline = Date.now() + this.#options.limits.removeSeconds * 1000;
    for (let asked = 0; ; asked++) {
      const found = await this.#cloud.find<{ volume: Volume }>("volume", `/volumes/${id}`);
      if (!found) return;
      const { status } = found.volume;
      if (status === "available" || BROKEN.test(status)) await this.#cloud.remove("volume", `/volumes/${id}`);
      if (Date.now() >= deadline)
        throw new Error(`it is still ${status} after ${this.#options.limits.removeSeconds} s`);
      await sleep(pauseMs(this.#options.limits, asked));
    }
  }

  async #deleteRouter(id: string): Promise<void> {
    const query = { device_id: id };
    const ports = await this.#cloud.list<{
      device_id?: string;
      device_owner?: string;
      fixed_ips?: { subnet_id: string }[];
    }>("network", "/ports", "ports", query);
    for (const { device_id, device_owner = "", fixed_ips } of ports) {
      const subnet_id = fixed_ips?.[0]?.subnet_id;
      // Its own gateway goes with it.
      if (device_id !== id || device_owner.endsWith("gateway") || subnet_id === undefined) continue;
      const change = { method: "PUT", body: { subnet_id } } as const;
      await this.#cloud.change("network", `/routers/${id}/remove_router_interface`, change);
    }
    await this.#cloud.remove("network", `/routers/${id}`);
  }

  /** Tries again where something is still in use, because what used it was deleted a moment ago, and where there was no answer. */
  async #insist(work: () => Promise<void>): Promise<void> {
    const deadline = Date.now() + this.#options.limits.removeSeconds * 1000;
    for (let tried = 0; ; tried++) {
      try {
        await work();
        return;
      } catch (error) {
        const again =
          error instanceof CloudError && (error.status === 0 || error.status === 409 || error.status >= 500);
        if (!again || Date.now() >= deadline) throw error;
      }
      await sleep(pauseMs(this.#options.limits, tried));
    }
  }
}
