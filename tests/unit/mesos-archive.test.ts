import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { localReference } from "../../cluster/images.ts";
import { validate } from "../../cluster/load.ts";
import { ROOT } from "../../lib/root.ts";
import { checkAskedFor, checkControlGroups } from "../../local/control-groups.ts";
import { fetchMesos, placeArchives } from "../../mesos/archive.ts";

const VERSIONS = { TRIPLEWIDE_VERSION: "0.0.0" };
const CONTENT = "an installed prefix";
const DIGEST = createHash("sha256").update(CONTENT).digest("hex");
const OTHER = "0".repeat(64);

const configOf = (raw: Record<string, unknown>) =>
  validate({ platform: "docker", architecture: "vanilla", ...raw }, "test");

describe("images that hold a Mesos", () => {
  const source = (digit: string) => `file:///m.tar.gz#sha256=${digit.repeat(64)}`;
  const tags = (raw: Record<string, unknown>) =>
    (["spark-python", "client", "zookeeper"] as const).map((name) => localReference(name, configOf(raw), VERSIONS));

  test("are told by their tag from those without, and from those with another", () => {
    expect(tags({ mesosSource: source("a") })).toEqual([
      "triplewide/spark-python:0.0.0-mesos-aaaaaaaaaaaa",
      "triplewide/client:0.0.0-mesos-aaaaaaaaaaaa",
      "triplewide/zookeeper:0.0.0",
    ]);
    expect(tags({ mesosSource: source("a"), libmesosSource: source("b") })[1]).toBe(
      "triplewide/client:0.0.0-mesos-bbbbbbbbbbbb",
    );
    expect(tags({ mesosSource: `docker://example.org/mesos@sha256:${"c".repeat(64)}` })[0]).toBe(
      "triplewide/spark-python:0.0.0-mesos-cccccccccccc",
    );
  });

  test("are none where nothing in them would use it", () => {
    expect(tags({ architecture: "standalone", mesosSource: source("a") })[0]).toBe("triplewide/spark-python:0.0.0");
    expect(tags({ architecture: "marathon-standalone", mesosSource: source("a") })[1]).toBe("triplewide/client:0.0.0");
  });
});

describe("mesosSource", () => {
  const root = mkdtempSync(join(tmpdir(), "triplewide-mesos-"));
  const file = join(root, "mesos.tar.gz");
  // A stand-in for a Docker that cannot reach a registry.
  const client = join(root, "docker");
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    response.writeHead(request.url?.startsWith("/mesos") ? 200 : 404).end(CONTENT);
  });
  let url = "";

  beforeAll(async () => {
    writeFileSync(file, CONTENT);
    writeFileSync(client, '#!/bin/sh\necho "Trying" >&2\necho "no route to the registry" >&2\nexit 1\n', {
      mode: 0o755,
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.close();
    rmSync(root, { recursive: true });
  });

  const fetched = (mesosSource: string) =>
    fetchMesos("mesosSource", {
      config: configOf({ mesosSource }),
      environment: "test",
      root,
      docker: client,
      signal: new AbortController().signal,
    });

  test("a file is taken as it lies there", async () => {
    expect(await fetched(`file://${file}#sha256=${DIGEST}`)).toEqual({ path: file, sha256: DIGEST, id: DIGEST });
  });

  test("a download is checked, and made once", async () => {
    const first = await fetched(`${url}/mesos.tar.gz#sha256=${DIGEST}`);
    expect(readFileSync(first.path, "utf8")).toBe(CONTENT);
    expect(first.path).toMatch(/\.tar\.gz$/);
    const before = asked;
    expect(await fetched(`${url}/mesos.tar.gz#sha256=${DIGEST}`)).toEqual(first);
    expect(asked).toBe(before);
    expect((await fetched(`deb+${url}/mesos.deb#sha256=${DIGEST}`)).path).toMatch(/\.deb$/);
  });

  test.each([
    ["no such file", () => `file://${root}/none.tar.gz#sha256=${DIGEST}`, "must be a file that there is"],
    ["a file with another digest", () => `file://${file}#sha256=${OTHER}`, `its own is ${DIGEST}`],
    ["a download with another digest", () => `${url}/mesos.tar.gz#sha256=${OTHER}`, `#sha256=${DIGEST}`],
    ["a server that does not have it", () => `${url}/gone.tar.gz#sha256=${OTHER}`, "its server answers 404"],
    ["a server that is not there", () => `http://127.0.0.1:1/m.tar.gz#sha256=${OTHER}`, "connection refused"],
    ["an image that cannot be pulled", () => `docker://a/b@sha256:${OTHER}`, "no route to the registry"],
  ])("%s: key, value, rule and fix are named, and nothing is left", async (_, value, words) => {
    const error = await fetched(value()).catch((e: Error) => e);
    expect((error as Error).message).toContain(`mesosSource: got "${value().slice(0, 60)}`);
    expect((error as Error).message).toContain(words);
    expect((error as Error).message).toContain("Fix: ");
    expect(readdirSync(join(root, ".triplewide", "_mesos")).filter((name) => !name.startsWith(DIGEST))).toEqual([]);
  });
});

test("archives lie beside the Dockerfile by their digests, and no others do", () => {
  const images = mkdtempSync(join(tmpdir(), "triplewide-images-"));
  const folder = join(images, "spark-python", "mesos");
  const archive = (name: string, digit: string) => {
    writeFileSync(join(images, name), name);
    return { path: join(images, name), sha256: digit.repeat(64), id: OTHER };
  };
  const [tar, deb] = [archive("m.tar.gz", "a"), archive("m.deb", "b")];
  try {
    placeArchives(images, [tar, deb]);
    writeFileSync(join(folder, ".gitkeep"), "");
    writeFileSync(join(folder, `${OTHER}.tar`), "of another environment");
    expect(readFileSync(join(folder, `${"b".repeat(64)}.deb`), "utf8")).toBe("m.deb");
    placeArchives(images, [tar]);
    expect(readdirSync(folder).sort()).toEqual([".gitkeep", `${"a".repeat(64)}.tar`]);
  } finally {
    rmSync(images, { recursive: true });
  }
});

describe("an image that a Mesos is taken out of", () => {
  let root = "";
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "triplewide-image-"));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  /** A file of the image. */
  function holds(path: string, text = "of the image"): void {
    mkdirSync(dirname(join(root, "image", path)), { recursive: true });
    writeFileSync(join(root, "image", path), text);
  }
  /** A link in the image. */
  function links(path: string, target: string): void {
    mkdirSync(dirname(join(root, "image", path)), { recursive: true });
    symlinkSync(target, join(root, "image", path));
  }

  /** Extracts Mesos with a stand-in for Docker that has only this image. @returns The content of the archive and of the user's folder. */
  function takenOut(linkedWith: readonly string[]) {
    const home = join(root, "home");
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, "authorized_keys"), "mine");
    const docker = join(root, "docker");
    const said = linkedWith.map((path) => `echo "  libx.so => ${path} (0x1)"`).join("; ");
    // Like Docker's, this `cp` follows an existing link at its target.
    const script = `case $1 in
      create) echo c ;;
      export) (cd '${root}/image' && tar -c -- *) ;;
      run) ${said} ;;
      cp) cp -RP "${root}/image\${3#c:}" "$4" ;;
      rm) ;;
    esac`;
    writeFileSync(docker, `#!/bin/bash\n${script}\n`, { mode: 0o755 });
    const target = join(root, "mesos.tar.gz");
    const run = spawnSync(join(ROOT, "images/mesos-from-image.sh"), [docker, "image", target], { encoding: "utf8" });
    const listed = spawnSync("tar", ["-tzf", target], { encoding: "utf8" }).stdout.split("\n").filter(Boolean).sort();
    const found = Object.fromEntries(readdirSync(home).map((name) => [name, readFileSync(join(home, name), "utf8")]));
    return { stderr: run.stderr, listed, home: found };
  }

  test("gives its Mesos, and the libraries that this is linked with", () => {
    holds("opt/mesos/lib/libmesos.so");
    holds("usr/lib/libssl.so.3");
    holds("usr/lib/libc.so.6");
    expect(takenOut(["/usr/lib/libssl.so.3", "/usr/lib/libc.so.6"])).toEqual({
      stderr: "",
      listed: ["./", "./carried/", "./carried/libssl.so.3", "./lib/", "./lib/libmesos.so"],
      home: { authorized_keys: "mine" },
    });
  });

  test.each<[string, () => string[]]>([
    [
      "a link where its libraries are put",
      () => {
        links("opt/mesos/carried", join(root, "home"));
        holds("evil/authorized_keys");
        holds("evil/libevil.so");
        return ["/evil/authorized_keys", "/evil/libevil.so"];
      },
    ],
    [
      "libraries of which one is a folder with a link",
      () => {
        links("evil/authorized_keys", join(root, "home/authorized_keys"));
        holds("evil2/authorized_keys");
        return ["/evil/.", "/evil2/authorized_keys"];
      },
    ],
    [
      "two libraries of a name, of which the first is a folder with a link",
      () => {
        links("evil/liba.so/liba.so", join(root, "home/authorized_keys"));
        holds("evil2/liba.so");
        return ["/evil/liba.so", "/evil2/liba.so"];
      },
    ],
  ])("writes to no folder of this machine: %s", (_, lay) => {
    holds("opt/mesos/lib/libmesos.so");
    expect(takenOut(lay()).home).toEqual({ authorized_keys: "mine" });
  });
});

describe("agents that start containers", () => {
  const root = mkdtempSync(join(tmpdir(), "triplewide-cgroups-"));
  afterAll(() => rmSync(root, { recursive: true }));

  /** Runs the check with a Docker that has a version of control groups, and an image whose libmesos holds these words. */
  const check = (groups: number, words: string): Promise<void> => {
    const client = join(root, "docker");
    const library = join(root, "libmesos.so");
    writeFileSync(library, `\0${words}\0`);
    const run = `for script; do :; done; echo "$script" | sed 's#/opt/mesos/lib/libmesos.so#${library}#g' | sh`;
    writeFileSync(client, `#!/bin/sh\nif [ "$1" = info ]; then echo ${groups}; else ${run}; fi\n`, { mode: 0o755 });
    const config = configOf({ mesosSource: `file:///m.tar.gz#sha256=${OTHER}` });
    return checkControlGroups({ client, compose: [client] }, "image", config, "test");
  };

  test("need control groups that their Mesos knows", async () => {
    const [one, two] = ["Failed to read cpu.cfs_quota_us", "cgroup.subtree_control"];
    await check(1, one);
    await check(2, two);
    for (const groups of [1, 2]) {
      await check(groups, `${one}\0${two}`);
      await check(groups, "neither");
    }
    await expect(check(2, one)).rejects.toThrow(
      /mesosSource: got .* version 2, which this machine's Docker has \(it has code for version 1\)\. Fix: use architecture vanilla/,
    );
    await expect(check(1, two)).rejects.toThrow(
      /\(it has code for version 2\)\. Fix: name another Mesos \(published for version 1: marathon,/,
    );
    await expect(check(2, one)).rejects.toThrow(/published for version 2: clusterd-image, clusterd-deb\)/);
  });

  test("a version that Docker has not is refused before there is an image", async () => {
    const client = join(root, "docker-info");
    writeFileSync(client, `#!/bin/sh\n[ "$1" = info ] && echo 1\n`, { mode: 0o755 });
    const ask = (mesosCgroups: "auto" | "1" | "2") =>
      checkAskedFor({ client, compose: [client] }, configOf({ mesosCgroups }), "test");
    await ask("auto");
    await ask("1");
    await expect(ask("2")).rejects.toThrow(
      /mesosCgroups: got "2"; must be auto or 1, the version that this machine's Docker has\. Fix: set mesosCgroups to auto/,
    );
  });
});
