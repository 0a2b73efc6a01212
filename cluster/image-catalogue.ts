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
  /** Whether it holds Spark, and with it the jars for object stores where the config names one. */
  readonly spark?: true;
  /** Program that the image starts by itself, so that a command must not name it again; none for images of ours. */
  readonly entrypoint?: string;
}

const ON_BASE = { TRIPLEWIDE_BASE: "base" } as const;

/** Every image, each after those that it stands on. */
export const IMAGES = {
  base: { origin: "built", internal: true, standsOn: {}, mesos: [] },
  "spark-python": { origin: "built", internal: false, standsOn: ON_BASE, mesos: ["daemons", "executors"], spark: true },
  client: {
    origin: "built",
    internal: false,
    standsOn: { ...ON_BASE, SPARK_PYTHON_IMAGE: "spark-python" },
    mesos: ["drivers"],
    spark: true,
  },
  zookeeper: { origin: "built", internal: false, standsOn: ON_BASE, mesos: [] },
  hdfs: { origin: "built", internal: false, standsOn: ON_BASE, mesos: [] },
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

/** Whether an image may hold the jars for object stores. */
export const mayHoldS3 = (name: ImageName): boolean => imageRecord(name).spark === true;

/** Images that an image stands on, by build argument. */
export function standsOn(name: ImageName): [argument: string, image: ImageName][] {
  return Object.entries(imageRecord(name).standsOn) as [string, ImageName][];
}

/**
 * `images/graph.tsv`: a line for each image that is built, after those of the images that it stands on: its name, `mesos` and
 * `s3` where it may hold them, with a comma between (else `-`), then `ARGUMENT=image` for each image that it stands on. Tabs part the fields.
 */
export function imageGraph(): string {
  const lines = IMAGE_NAMES.filter((name) => imageRecord(name).origin === "built").map((name) =>
    [
      name,
      [mayHoldMesos(name) ? "mesos" : "", mayHoldS3(name) ? "s3" : ""].filter(Boolean).join(",") || "-",
      ...standsOn(name).map(([argument, other]) => `${argument}=${other}`),
    ].join("\t"),
  );
  return `# Made from cluster/image-catalogue.ts by \`make docs\`. Do not edit.\n${lines.join("\n")}\n`;
}
