/**
 * Every container image, once: how it comes about and what it stands on. `images/graph.tsv`, which `images/build.sh` reads, is
 * made from here by `make docs`.
 */

/** How one image comes about. */
export interface ImageRecord {
  /**
   * `built`: from its folder under `images/`. `copied`: an image of others that `pulumi up` copies into the registry which
   * machines pull from, and that this machine's Docker runs as it is.
   */
  readonly origin: "built" | "copied";
  /** Whether only other images use it: no service runs it, and it is pushed only where an image stands on it. */
  readonly internal: boolean;
  /** Images that it stands on, by the build argument that names each to its Dockerfile. */
  readonly standsOn: Readonly<Record<string, string>>;
  /**
   * What of Mesos may run in it: its master and agent (`daemons`), drivers that load libmesos (`drivers`), and executors in
   * containers of their own (`executors`).
   */
  readonly mesos: readonly ("daemons" | "drivers" | "executors")[];
  /** Layers that it has where the config asks for them. @default none */
  readonly layers?: readonly LayerName[];
  /** Program that the image starts by itself, so that a command must not name it again; none for images of ours. */
  readonly entrypoint?: string;
}

/** Layers that only some clusters' images have, by the build argument that asks for each; the order is that of images' tags. */
export const LAYERS = {
  /** Jars for `s3a://` paths. */
  s3: { argument: "S3" },
  /** The server of Spark Connect. */
  connect: { argument: "CONNECT" },
} as const satisfies Readonly<Record<string, { argument: string }>>;

/** Name of a layer that only some clusters' images have. */
export type LayerName = keyof typeof LAYERS;
/** Names of such layers. */
export const LAYER_NAMES = Object.keys(LAYERS) as LayerName[];

const ON_BASE = { TRIPLEWIDE_BASE: "base" } as const;

/** Every image, each after those that it stands on. */
export const IMAGES = {
  base: { origin: "built", internal: true, standsOn: {}, mesos: [] },
  "spark-python": {
    origin: "built",
    internal: false,
    standsOn: ON_BASE,
    mesos: ["daemons", "executors"],
    layers: ["s3"],
  },
  client: {
    origin: "built",
    internal: false,
    standsOn: { ...ON_BASE, SPARK_PYTHON_IMAGE: "spark-python" },
    mesos: ["drivers"],
    layers: ["s3", "connect"],
  },
  hub: {
    origin: "built",
    internal: false,
    standsOn: { ...ON_BASE, CLIENT_IMAGE: "client" },
    mesos: ["drivers"],
    layers: ["s3", "connect"],
  },
  zookeeper: { origin: "built", internal: false, standsOn: ON_BASE, mesos: [] },
  hdfs: { origin: "built", internal: false, standsOn: ON_BASE, mesos: [] },
  gateway: { origin: "built", internal: false, standsOn: ON_BASE, mesos: [] },
  prometheus: { origin: "built", internal: false, standsOn: ON_BASE, mesos: [] },
  marathon: { origin: "copied", internal: false, standsOn: {}, mesos: [], entrypoint: "marathon" },
} as const satisfies Readonly<Record<string, ImageRecord>>;

/** Name of an image. Those that are built have a folder of that name under `images/`. */
export type ImageName = keyof typeof IMAGES;

/** Every image, each after those that it stands on. */
export const IMAGE_NAMES = Object.keys(IMAGES) as ImageName[];

/** What is known of an image. */
export const imageRecord = (name: ImageName): ImageRecord => IMAGES[name];

/** Whether an image may hold a Mesos. */
export const mayHoldMesos = (name: ImageName): boolean => imageRecord(name).mesos.length > 0;

/** Layers that an image has where the config asks for them. */
export const layersOf = (name: ImageName): readonly LayerName[] => imageRecord(name).layers ?? [];

/** Images that an image stands on, by build argument. */
export function standsOn(name: ImageName): [argument: string, image: ImageName][] {
  return Object.entries(imageRecord(name).standsOn) as [string, ImageName][];
}

/**
 * `images/graph.tsv`: a line for each image that is built, after those of the images that it stands on: its name, `mesos` and
 * the layers that it may hold, with a comma between (else `-`), then `ARGUMENT=image` for each image that it stands on. Tabs part the fields.
 */
export function imageGraph(): string {
  const lines = IMAGE_NAMES.filter((name) => imageRecord(name).origin === "built").map((name) =>
    [
      name,
      [...(mayHoldMesos(name) ? ["mesos"] : []), ...layersOf(name)].join(",") || "-",
      ...standsOn(name).map(([argument, other]) => `${argument}=${other}`),
    ].join("\t"),
  );
  return `# Made from cluster/image-catalogue.ts by \`make docs\`. Do not edit.\n${lines.join("\n")}\n`;
}
