import type { Config } from "../config/schema.ts";
import { architectureOf, hasMesos, mesosStartsExecutors } from "./architectures/index.ts";
import {
  IMAGE_NAMES,
  type ImageName,
  imageRecord,
  LAYER_NAMES,
  LAYERS,
  type LayerName,
  layersOf,
  mayHoldMesos,
} from "./image-catalogue.ts";
import { hasObjectStore } from "./object-store.ts";
import { platformOf } from "./platforms.ts";
import type { Service } from "./types.ts";

/** What the images of one cluster hold, and what they are called. */

/** First characters of a source's digest, by which images that hold it are told apart. */
const SHORT_DIGEST = 12;

/** The sha256 that a source ends with, however it is written: `@sha256:…` or `#sha256=…`. */
export function sourceDigest(source: string): string {
  return /sha256[:=]([0-9a-f]{64})$/.exec(source)?.[1] ?? "";
}

/** Images that may hold a Mesos. */
export const MESOS_IMAGES: readonly ImageName[] = IMAGE_NAMES.filter(mayHoldMesos);

/** Where libmesos comes from that drivers load. */
const librarySource = (c: Config): string | undefined => c.libmesosSource ?? c.mesosSource;

/** Whether Mesos' master and agent run in an image, and not on the machines themselves. */
const holdsDaemons = (name: ImageName, c: Config): boolean =>
  imageRecord(name).mesos.includes("daemons") &&
  (platformOf(c).machinesAreContainers || architectureOf(c).mesos === "in-containers");

/**
 * Whether something in an image loads libmesos: drivers that register with Mesos, and executors in containers of their own.
 * Spark on Marathon is a standalone cluster, whose drivers do not register with Mesos.
 */
const loadsLibrary = (name: ImageName, c: Config): boolean => {
  const { mesos } = imageRecord(name);
  const executors = architectureOf(c).executorsRun === "in-own-container" && mesos.includes("executors");
  return mesosStartsExecutors(c) && (mesos.includes("drivers") || executors);
};

/** Where the Mesos inside of an image comes from; `undefined` where it holds none, or where `mesosSource` is not set. */
export function mesosIn(name: ImageName, c: Config): string | undefined {
  if (!hasMesos(c) || !mayHoldMesos(name)) return undefined;
  if (holdsDaemons(name, c)) return c.mesosSource;
  return loadsLibrary(name, c) ? librarySource(c) : undefined;
}

/**
 * What the images that hold one source's Mesos use of it: `daemons` (master and agent), `java` (libmesos with its Java
 * bindings), or both, and `tls` where they speak it. They all stand on one image, so what one of them uses the others have as well.
 */
export function mesosParts(source: string, c: Config): string {
  const images = MESOS_IMAGES.filter((name) => mesosIn(name, c) === source);
  const java = images.some((name) => loadsLibrary(name, c)) && source === librarySource(c);
  return [
    ...(images.some((name) => holdsDaemons(name, c)) ? ["daemons"] : []),
    ...(java ? ["java"] : []),
    ...(c.mesosTls ? ["tls"] : []),
  ].join(" ");
}

/** Appendix to the tag of an image that holds a Mesos, by the digest of its source. */
export const mesosTag = (source: string | undefined): string =>
  source === undefined ? "" : `-mesos-${sourceDigest(source).slice(0, SHORT_DIGEST)}`;

type Layered = Pick<Config, "s3Endpoint" | "objectStore" | "sparkConnect">;

/** Whether a config asks for a layer. */
const WANTED: Readonly<Record<LayerName, (c: Layered) => boolean>> = {
  s3: hasObjectStore,
  connect: (c) => c.sparkConnect,
};

/** Build arguments by which images get the layers that a config asks for. */
export const layerArguments = (c: Layered): Record<string, string> =>
  Object.fromEntries(LAYER_NAMES.filter((name) => WANTED[name](c)).map((name) => [LAYERS[name].argument, "jars"]));

/** Appendix to the tag of an image with such layers. */
export const layerTag = (name: ImageName, c: Layered): string =>
  layersOf(name)
    .filter((layer) => WANTED[layer](c))
    .map((layer) => `-${layer}`)
    .join("");

/** The image of Marathon that the config names, as Docker knows it. */
export const marathonImage = (c: Config): string => c.marathonSource.replace("docker://", "");

/**
 * Name and tag of an image. Where machines pull nothing, a copied image is what the config names; a registry gets it as one of
 * ours. Images with a Mesos inside are others than those without, so that environments of both kinds live side by side.
 */
export function localReference(name: ImageName, c: Config, versions: Readonly<Record<string, string>>): string {
  if (imageRecord(name).origin === "copied" && !platformOf(c).pullsImages) return marathonImage(c);
  return `triplewide/${name}:${versions.TRIPLEWIDE_VERSION}${mesosTag(mesosIn(name, c))}${layerTag(name, c)}`;
}

/** Images of services that are built from this repository. */
export function imagesOf(services: readonly Pick<Service, "image">[]): ImageName[] {
  const used = new Set(services.map((s) => s.image));
  return IMAGE_NAMES.filter((name) => used.has(name) && imageRecord(name).origin === "built");
}
