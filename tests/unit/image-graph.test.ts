import { execFile } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  IMAGE_NAMES,
  type ImageName,
  imageGraph,
  imageRecord,
  LAYER_NAMES,
  LAYERS,
  layersOf,
  mayHoldMesos,
  standsOn,
} from "../../cluster/image-catalogue.ts";
import { layerArguments, layerTag } from "../../cluster/images.ts";
import { validate } from "../../cluster/load.ts";
import { SPARK_VERSION } from "../../config/versions.ts";
import { pinnedVersions } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";

/** Dockerfiles and `images/build.sh` must agree with the graph of images in `cluster/image-catalogue.ts`. */

const run = promisify(execFile);
const built = IMAGE_NAMES.filter((name) => imageRecord(name).origin === "built");
const dockerfile = (name: ImageName): string => readFileSync(join(ROOT, "images", name, "Dockerfile"), "utf8");

test("the committed graph is the catalogue's", () => {
  expect(readFileSync(join(ROOT, "images", "graph.tsv"), "utf8")).toBe(imageGraph());
});

test("every image that is built comes after those that it stands on", () => {
  for (const name of built)
    for (const [, other] of standsOn(name)) expect(IMAGE_NAMES.indexOf(other)).toBeLessThan(IMAGE_NAMES.indexOf(name));
});

test.each(IMAGE_NAMES)("the Dockerfile of %s stands on the images that the catalogue names", (name) => {
  const bases = [...dockerfile(name).matchAll(/^FROM \$\{(\w+)\}/gm)].map((m) => m[1] ?? "");
  const ofOthers = bases.filter((argument) => argument !== "BASE_IMAGE" && argument !== "MARATHON_IMAGE");
  expect([...new Set(ofOthers)].sort()).toEqual(Object.keys(imageRecord(name).standsOn).sort());
});

test.each(IMAGE_NAMES)("%s holds a Mesos, or stands on an image that does, where the catalogue says so", (name) => {
  const holds = (one: ImageName): boolean =>
    /^ARG MESOS\b/m.test(dockerfile(one)) || standsOn(one).some(([, other]) => holds(other));
  expect(holds(name)).toBe(mayHoldMesos(name));
});

const local = { platform: "docker", architecture: "standalone" };
const S3_KEYS = { s3Endpoint: "https://s3.example.org", s3AccessKey: "AKEXAMPLE", s3SecretKey: "a-secret" };

/** A copy of `images/`, with a stand-in for `docker` that only records the builds. */
let folder: string;
const calls = (): string => join(folder, "calls");
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "image-graph-"));
  const images = join(ROOT, "images");
  cpSync(images, join(folder, "images"), {
    recursive: true,
    // Tests the path below `images` only, because the checkout itself may be in a folder with such a name.
    filter: (path) => !/\/(certs|mesos)\/[^/]+$/.test(path.slice(images.length)) || basename(path) === ".gitkeep",
  });
  mkdirSync(join(folder, "bin"));
  const docker = `#!/bin/bash
case "$1 $2" in
    "--version "*) echo "Docker version 20.10.0, build 0" ;;
    "info "*) echo /nowhere ;;
    "build "*) printf '%s\\n' "$*" >>'${join(folder, "calls")}' ;;
    "image inspect") case "$*" in *Size*) echo "sha256:0123456789abcdef 1000000" ;; *) echo sha256:0 ;; esac ;;
esac
`;
  writeFileSync(join(folder, "bin", "docker"), docker, { mode: 0o755 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The images that `build.sh` builds: tag and build arguments of each, in order. */
async function builds(args: readonly string[], env: Record<string, string> = {}): Promise<[string, string[]][]> {
  rmSync(calls(), { force: true });
  const { PATH, HOME } = process.env;
  await run(join(folder, "images", "build.sh"), args, {
    env: { HOME, ...env, PATH: `${join(folder, "bin")}:${PATH}` },
  });
  const lines = existsSync(calls()) ? readFileSync(calls(), "utf8").trim().split("\n") : [];
  return lines.map((line) => [
    /--tag (\S+)/.exec(line)?.[1] ?? "",
    [...line.matchAll(/--build-arg (\S+)/g)].map((m) => m[1] ?? ""),
  ]);
}

const version = /^TRIPLEWIDE_VERSION=(.+)$/m.exec(readFileSync(join(ROOT, "images", "versions.env"), "utf8"))?.[1];
const tagOf = (name: ImageName, mesos = ""): string =>
  `triplewide/${name}:${version}${mayHoldMesos(name) ? mesos : ""}`;
const arguments_ = (name: ImageName, mesos = ""): string[] =>
  standsOn(name).map(([argument, other]) => `${argument}=${tagOf(other, mesos)}`);

test("the Spark that drivers tell executors to fetch is the one that the images are made of", () => {
  expect(pinnedVersions(ROOT).SPARK_VERSION).toBe(SPARK_VERSION);
});

test("build.sh all builds the catalogue's images in its order, each on those it stands on", async () => {
  const done = await builds(["all"]);
  expect(done.map(([tag]) => tag)).toEqual(built.map((name) => tagOf(name)));
  for (const [i, name] of built.entries()) expect(done[i]?.[1]).toEqual(expect.arrayContaining(arguments_(name)));
});

test("build.sh builds what an image stands on before it, and nothing else", async () => {
  expect((await builds(["client"])).map(([tag]) => tag)).toEqual(
    ["base", "spark-python", "client"].map((n) => tagOf(n as ImageName)),
  );
  expect((await builds(["hdfs"])).map(([tag]) => tag)).toEqual([tagOf("base"), tagOf("hdfs")]);
});

test("only images that may hold a Mesos are tagged with its digest", async () => {
  const archive = join(folder, "mesos.tar");
  writeFileSync(archive, "");
  const MESOS_SHA256 = "0123456789ab".padEnd(64, "0");
  const done = await builds(["all"], { MESOS_ARCHIVE: archive, MESOS_SHA256 });
  const mesos = "-mesos-0123456789ab";
  expect(done.map(([tag]) => tag)).toEqual(built.map((name) => tagOf(name, mesos)));
  for (const [i, name] of built.entries())
    expect(done[i]?.[1]).toEqual(expect.arrayContaining(arguments_(name, mesos)));
});

test.each(LAYER_NAMES)("images get their layer %s where it is asked for, and a tag of their own", async (layer) => {
  const { argument } = LAYERS[layer];
  const done = await builds(["all"], { [argument]: "jars" });
  const has = built.filter((name) => new RegExp(`^ARG ${argument}\\b`, "m").test(dockerfile(name)));
  expect(has).toHaveLength(1);
  const tag = (name: ImageName): string => `${tagOf(name)}${layersOf(name).includes(layer) ? `-${layer}` : ""}`;
  for (const [i, name] of built.entries()) {
    expect(done[i]?.[0]).toBe(tag(name));
    expect(done[i]?.[1].includes(`${argument}=jars`)).toBe(has.includes(name));
  }
  // The client's base is the image with jars.
  expect(done[built.indexOf("client")]?.[1]).toContain(`SPARK_PYTHON_IMAGE=${tag("spark-python")}`);
  await expect(builds(["base"], { [argument]: "yes" })).rejects.toThrow(`${argument} is none or jars`);
});

test("images of several layers are tagged as the program names them", async () => {
  const config = validate({ ...local, sparkConnect: true, ...S3_KEYS }, "test");
  const done = await builds(["all"], layerArguments(config));
  expect(done.map(([tag]) => tag)).toEqual(built.map((name) => `${tagOf(name)}${layerTag(name, config)}`));
  expect(layerTag("client", config)).toBe("-s3-connect");
});

test("an image that the graph has one line for needs no other line in build.sh", async () => {
  appendFileSync(join(folder, "images", "graph.tsv"), "addedimage\t-\tADDED_BELOW=client\n");
  mkdirSync(join(folder, "images", "addedimage"));
  writeFileSync(join(folder, "images", "addedimage", "Dockerfile"), "ARG ADDED_BELOW\nFROM $ADDED_BELOW\n");
  const done = await builds(["addedimage"]);
  expect(done.map(([tag]) => tag.replace(/.*\/(.*):.*/, "$1"))).toEqual([
    "base",
    "spark-python",
    "client",
    "addedimage",
  ]);
  expect(done.at(-1)?.[1]).toEqual([`ADDED_BELOW=${tagOf("client")}`]);
});
