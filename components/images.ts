import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Image } from "@pulumi/docker/image.js";
import * as pulumi from "@pulumi/pulumi";
import { type ImageName, mayHoldMesos, standsOn } from "../cluster/image-catalogue.ts";

export interface ImagesArgs {
  /** Images to have. Plain, because they decide which resources there are. */
  needed: readonly ImageName[];
  /** References, by digest, of images that are not built here. */
  given: Readonly<Record<string, string>>;
  /** Folder that holds one folder for each image. */
  folder: string;
  /** What the Dockerfiles are given as build arguments, as far as they ask for it. */
  buildArgs: Readonly<Record<string, string>>;
  /** The Mesos in each image that holds one. */
  mesos: Readonly<Record<string, MesosInImage>>;
  /** Tag of the images that are built. */
  tag: string;
  /** Appendix to an image's tag, after that of its Mesos. */
  suffix: (image: ImageName) => string;
  /** Architecture of the machines, such as `linux/amd64`. */
  platform: pulumi.Input<string>;
  /** Registry and path that images are pushed to, as this machine reaches it. */
  push: string;
  /** The same registry and path as the cluster's machines reach it. */
  pull: string;
  /**
   * User of the registry.
   * @default nobody logs in
   */
  user?: pulumi.Input<string>;
  /** Password of that user. */
  password?: pulumi.Input<string>;
  /** Resolves when the registry can be reached. */
  reachable: Promise<void>;
  /**
   * Where the registry keeps its images. When that becomes another place, they are pushed again.
   * @default the registry belongs to others and forgets nothing
   */
  storage?: pulumi.Input<string>;
}

/** An archive of an installed Mesos that lies in the folder of `spark-python`. */
export interface MesosInImage {
  sha256: string;
  /** What of it is needed: `daemons`, `java`, or both. */
  parts: string;
  /** Appendix to the image's tag. */
  tag: string;
}

/** The container images of the cluster: built and pushed unless the config gives them, and named by digest. */
export class Images extends pulumi.ComponentResource {
  readonly #references = new Map<string, pulumi.Output<string>>();
  readonly #built = new Map<string, Image>();

  constructor(name: string, args: ImagesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("triplewide:index:Images", name, {}, opts);

    for (const image of args.needed) this.#references.set(image, this.#reference(name, args, image));

    this.registerOutputs({});
  }

  /** Reference by which machines pull an image. */
  of(image: ImageName): pulumi.Output<string> {
    const reference = this.#references.get(image);
    if (!reference) throw new Error(`no image is called ${image}`);
    return reference;
  }

  #reference(name: string, args: ImagesArgs, image: ImageName): pulumi.Output<string> {
    const given = args.given[image];
    if (given) return pulumi.output(given);
    return this.#build(name, args, image).repoDigest.apply((pushed) => {
      const digest = pushed.split("@")[1];
      if (!digest) throw new pulumi.ResourceError(`the registry gave no digest for ${image}: ${pushed}`, this, true);
      return `${args.pull}/triplewide/${image}@${digest}`;
    });
  }

  /** @param mesos What the image is to hold: its own, or that of an image which stands on it. */
  #build(name: string, args: ImagesArgs, image: ImageName, mesos = args.mesos[image]): Image {
    const key = `${image}${mesos?.sha256 ?? ""}`;
    const there = this.#built.get(key);
    if (there) return there;
    const dockerfile = join(args.folder, image, "Dockerfile");
    const below: Record<string, pulumi.Input<string>> = {};
    for (const [arg, other] of standsOn(image)) {
      below[arg] =
        args.given[other] ?? this.#build(name, args, other, mayHoldMesos(other) ? mesos : undefined).repoDigest;
    }
    const values = {
      ...args.buildArgs,
      ...(mesos ? { MESOS: "archive", MESOS_SHA256: mesos.sha256, MESOS_PARTS: mesos.parts } : {}),
    };
    const own = mesos?.sha256 === args.mesos[image]?.sha256;
    const built = new Image(
      `${name}-${image}${own ? "" : "-for-client"}`,
      {
        // Nothing is pushed before the registry answers; a preview waits for nothing.
        imageName: args.reachable.then(
          () => `${args.push}/triplewide/${image}:${args.tag}${mesos?.tag ?? ""}${args.suffix(image)}`,
        ),
        build: {
          context: join(args.folder, image),
          dockerfile,
          args: { ...asked(dockerfile, values), ...below },
          platform: args.platform,
          builderVersion: "BuilderBuildKit",
        },
        ...(args.user && args.password
          ? { registry: { server: args.push.split("/")[0] ?? args.push, username: args.user, password: args.password } }
          : {}),
      },
      { parent: this, ...(args.storage ? { replacementTrigger: args.storage } : {}) },
    );
    this.#built.set(key, built);
    return built;
  }
}

/** Only what a Dockerfile asks for: otherwise one image's new version would build all of them anew. */
function asked(dockerfile: string, values: Readonly<Record<string, string>>): Record<string, string> {
  const text = readFileSync(dockerfile, "utf8");
  const names = new Set([...text.matchAll(/^ARG (\w+)/gm)].map((match) => match[1]));
  return Object.fromEntries(Object.entries(values).filter(([key]) => names.has(key)));
}
