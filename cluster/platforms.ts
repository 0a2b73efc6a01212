import type { Config, Platform } from "../config/schema.ts";

/** What differs between the places that a cluster can run in. Nothing else asks for a platform by its name. */
export interface PlatformRecord {
  /** Whether machines are servers of a cloud: with flavors, volumes, zones, quota and security groups. */
  servers: boolean;
  /** Whether machines pull their images from a registry; elsewhere images are where they are built. */
  pullsImages: boolean;
  /**
   * Whether a machine is a container, and every process on it too: it has no control groups of its own to hand on, every
   * program comes out of an image, and containers that an agent starts are beside its own.
   */
  machinesAreContainers: boolean;
  /** Whether secret values of the config must stand there unencrypted, because nothing on this platform can decrypt them. */
  plainSecrets: boolean;
  /** Networks that the platform itself takes, and for what. */
  takenNetworks: (c: Pick<Config, "dockerCidr">) => readonly (readonly [cidr: string, what: string])[];
  /** Where a browser finds the published pages; `undefined` where that is not known. */
  pageAddress: (c: Pick<Config, "bindAddress">) => string | undefined;
  /** What people type to work on the cluster without a browser, and what each line does. */
  connect: (c: Pick<Config, "clusterName">) => readonly (readonly [command: string, what: string])[];
  /** Files and sockets that a task of Marathon may have open. @default Docker's own limit, which may not be raised */
  taskOpenFiles?: number;
}

/** Every platform. */
export const PLATFORMS: Readonly<Record<Platform, PlatformRecord>> = {
  openstack: {
    servers: true,
    pullsImages: true,
    machinesAreContainers: false,
    plainSecrets: false,
    takenNetworks: ({ dockerCidr }) => [[dockerCidr, "dockerCidr, Docker's own bridge on every machine"]],
    // The near end of a tunnel.
    pageAddress: () => "127.0.0.1",
    connect: ({ clusterName: name }) => [[`ssh -F ~/.ssh/${name}.config ${name}-client`, "a shell on the client"]],
    taskOpenFiles: 65536,
  },
  docker: {
    servers: false,
    pullsImages: false,
    machinesAreContainers: true,
    plainSecrets: true,
    takenNetworks: () => [],
    connect: () => [
      ["make shell", "IPython with `spark` ready"],
      ["make smoke", "a real job on all workers, checked"],
      ["make logs", "what the services say"],
      ["make down", "stop it; data stays"],
    ],
    pageAddress: ({ bindAddress }) => (bindAddress === "0.0.0.0" ? undefined : bindAddress),
  },
};

/** The record of the platform that a config names. */
export const platformOf = (c: Pick<Config, "platform">): PlatformRecord => PLATFORMS[c.platform];
