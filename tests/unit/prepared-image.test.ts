import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { describeCluster, validate } from "../../cluster/load.ts";
import { ARCHITECTURES } from "../../config/schema.ts";
import type { RawConfig } from "../../config/validate.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { Cloud } from "../../openstack/cloud.ts";
import { makeImage } from "../../openstack/image-build.ts";
import type { ImageLimits } from "../../openstack/image-limits.ts";
import { type ImageRequest, planImage } from "../../openstack/image-plan.ts";
import { preflight } from "../../openstack/preflight.ts";
import { packUserData } from "../../render/cloud-init/pack.ts";
import { machinePackages } from "../../render/cloud-init/software.ts";
import { renderImageUserData } from "../../render/cloud-init.ts";
import { FakeCloud, IMAGE } from "../engine/fake-cloud.ts";
import { FakeOpenStack } from "../fakes/openstack.ts";
import { mesosOf, SMALL_CLOUD } from "../fixtures/configs.ts";
import { stackFolder, TRIPLEWIDE } from "../fixtures/stack-folder.ts";

const NAME = "lab.image";
const CONSOLE = "[   12.3] bash[99]: triplewide    2s installing docker.io\r\n[   80.1] bash[99]: triplewide   70s ";
const DONE = { console: `${CONSOLE}image: ready to be taken\r\n`, becomes: "SHUTOFF" } as const;
const NOW = new Date("2026-11-27T12:01:33Z");
const parts = readCheckout();
/** Config for a cloud that boots from volumes. */
const ON_VOLUME = { bootVolumeGb: 20 };
const QUICK: ImageLimits = { pollMs: 1, bootSeconds: 60, imageSeconds: 60, removeSeconds: 60 };
/** A timeout that expires. Only for events that never come, because on a busy machine it expires before anything is seen. */
const SHORT = 0.05;

let fake: FakeCloud;
let cloud: Cloud;
beforeEach(async () => {
  fake = await FakeCloud.start();
  fake.guests.set(NAME, DONE);
  cloud = Cloud.fromEnvironment({ env: fake.env }, { retryDelayMs: 1 });
});
afterEach(async () => {
  cloud.close();
  await fake.stop();
});

const clusterOf = (more: RawConfig = {}) =>
  describeCluster(validate({ ...SMALL_CLOUD, clusterName: "lab", architecture: "standalone", ...more }, "prod"));

const planOf = (more: RawConfig = {}, wishes: Partial<ImageRequest> = {}) => {
  const cluster = clusterOf(more);
  const packages = machinePackages(cluster, parts);
  return planImage({ cluster, cloud, packages, version: "0.2.0", now: NOW, ...wishes });
};

interface Wishes extends ImageLimits {
  signal?: AbortSignal;
  config?: RawConfig;
  report?: (line: string) => void;
}

/** Makes an image. @returns Its id, or the error. */
async function made({ signal, config, report = () => {}, ...limits }: Wishes = {}): Promise<string> {
  const cluster = clusterOf(config);
  const plan = await planOf(config);
  const userData = packUserData(renderImageUserData(cluster, parts));
  const work = { cluster, cloud, plan, version: "0.2.0", userData, report, now: NOW };
  return makeImage({ ...work, limits: { ...QUICK, ...limits }, ...(signal ? { signal } : {}) });
}

const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "succeeded",
    (error: unknown) => (error as Error).message,
  );
/** Ids of images that were added. */
const newImages = (): string[] => [...fake.images.keys()].filter((id) => id !== IMAGE);
const changes = (): string[] =>
  fake.requests.filter(
    (line) => !line.startsWith("GET") && !line.includes("auth/tokens") && !line.startsWith("DELETE"),
  );

describe("user data of the server that an image is taken of", () => {
  test.each(ARCHITECTURES)(
    "%s: installs what any machine would, makes no user, and holds no secret",
    (architecture) => {
      const config = { architecture, ...mesosOf(architecture), monitoring: true };
      const text = renderImageUserData(clusterOf(config), parts);
      const data = parse(text, { version: "1.1" }) as {
        users: unknown[];
        write_files: { path: string; content: string }[];
      };
      expect(data.users).toEqual([]);
      const env = data.write_files.find(({ path }) => path === "/etc/triplewide/image.env")?.content ?? "";
      for (const name of machinePackages(clusterOf(config), parts)) expect(env).toContain(name);
      expect(text).not.toMatch(/\{\{(secret|image|key|cloud):/);
      // It runs the same script as a machine's first boot.
      const library = data.write_files.find(({ path }) => path === "/usr/local/lib/triplewide/install")?.content;
      expect(library).toContain("packages() {");
    },
  );

  test("reaches outside as machines do", () => {
    const config = { httpProxy: "http://proxy.example.org:3128", aptMirror: "https://mirror.example.org/debian/" };
    const text = renderImageUserData(clusterOf(config), parts);
    expect(text).toContain('Acquire::https::Proxy "http://proxy.example.org:3128"');
    expect(text).toContain("APT_MIRROR=https://mirror.example.org/debian\n");
  });
});

describe("an image", () => {
  test("is made, says what it is, and nothing else is left", async () => {
    fake.imageProperties.set(IMAGE, { os_distro: "debian", hw_disk_bus: "scsi", min_disk: 3 });
    const said: string[] = [];
    const id = await made({ report: (line) => said.push(line) });
    expect(fake.images.get(id)).toBe("triplewide-0.2.0-debian-12-20261127-1201");
    expect(fake.imageProperties.get(id)).toMatchObject({
      status: "active",
      os_distro: "debian",
      hw_disk_bus: "scsi",
      min_disk: 40,
      triplewide_source_image: IMAGE,
      triplewide_source_name: "debian-12",
      triplewide_version: "0.2.0",
      triplewide_date: "2026-11-27",
      triplewide_package_names: machinePackages(clusterOf(), parts).join(" "),
      triplewide_packages: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(fake.imageProperties.get(id)).not.toHaveProperty("triplewide_unfinished");
    expect(said).toEqual(expect.arrayContaining(["  installing docker.io", "  image: ready to be taken"]));
    expect(fake.leftovers()).toEqual([]);
    const sent = gunzipSync(Buffer.from(fake.userData.get(NAME) ?? "", "base64")).toString();
    expect(sent).toBe(renderImageUserData(clusterOf(), parts));
  });

  test("has the properties of its source that the cloud did not pass on", async () => {
    fake.imageProperties.set(IMAGE, { os_hash_value: "abc", os_version: "12" });
    const forgetful = fake.images;
    const set = forgetful.set.bind(forgetful);
    forgetful.set = (id, name) => {
      queueMicrotask(() => delete fake.imageProperties.get(id)?.os_version);
      return set(id, name);
    };
    const id = await made();
    expect(fake.imageProperties.get(id)).toMatchObject({ os_version: "12" });
  });

  test("is not made again unless something of it is another", async () => {
    const id = await made();
    expect((await planOf()).upToDate).toMatchObject({ id });
    // Also if the config names the prepared image already, because its properties tell what it was made from.
    const own = await planOf({ image: "triplewide-0.2.0-debian-12-20261127-1201" });
    expect([own.source.id, own.upToDate?.id]).toEqual([IMAGE, id]);
    expect((await planOf({}, { version: "0.3.0" })).upToDate).toBeUndefined();
    expect((await planOf({}, { packages: ["docker.io"] })).upToDate).toBeUndefined();
    fake.images.set("22222222-2222-4222-8222-333333333333", "debian-13");
    expect((await planOf({}, { from: "debian-13" })).upToDate).toBeUndefined();
    fake.images.delete(IMAGE);
    expect(await failure(planOf({ image: "triplewide-0.2.0-debian-12-20261127-1201" }))).toContain(
      `it was made of debian-12 (${IMAGE}), which is gone. Fix: name an image to start from: --from`,
    );
  });

  test("is taken of a server on the network that the config names, or on one of its own", async () => {
    const ids = {
      existingNetworkId: "33333333-3333-4333-8333-333333333333",
      existingSubnetId: "44444444-4444-4444-8444-444444444444",
    };
    fake.hold("/network/v2.0/networks", ids.existingNetworkId, { name: "office" });
    await made({ config: ids });
    expect(fake.requests).not.toContain("POST /network/v2.0/networks");
    expect(fake.leftovers()).toEqual(["network office"]);
    await made({ config: { networkCidr: "10.99.0.0/16" } });
    expect(fake.requests).toContain("POST /network/v2.0/networks");
    expect(fake.leftovers()).toEqual(["network office"]);
    const gone = "55555555-5555-4555-8555-555555555555";
    expect(await failure(planOf({}, { network: gone }))).toContain(
      `--network: got "${gone}"; there is no network with this id`,
    );
  });

  test("is made from a volume where machines boot from volumes", async () => {
    fake.imageProperties.set(IMAGE, { os_distro: "debian", hw_disk_bus: "scsi", min_disk: 3, disk_format: "qcow2" });
    const said: string[] = [];
    const bodies: string[] = [];
    fake.reply = (line) => {
      const [volume] = fake.identities("volume");
      if (line.endsWith("/action") && volume) bodies.push(line.replace(/[0-9a-f-]{36}/, "…"));
      if (line === "POST /compute/v2.1/servers") expect(fake.server(NAME)?.image).toBe("");
      return "sent";
    };
    const id = await made({ config: ON_VOLUME, report: (line) => said.push(line) });
    expect(fake.images.get(id)).toBe("triplewide-0.2.0-debian-12-20261127-1201");
    expect(fake.imageProperties.get(id)).toMatchObject({
      status: "active",
      os_distro: "debian",
      hw_disk_bus: "scsi",
      disk_format: "qcow2",
      min_disk: 20,
      triplewide_source_image: IMAGE,
      triplewide_packages: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(fake.imageProperties.get(id)).not.toHaveProperty("triplewide_unfinished");
    expect(bodies.filter((line) => line.includes("/volumes/"))).toHaveLength(2);
    expect(said).toContain("volume lab.image is made of debian-12");
    expect(fake.leftovers()).toEqual([]);
    expect((await planOf(ON_VOLUME)).upToDate?.id).toBe(id);
    const typed = await planOf({ ...ON_VOLUME, availabilityZones: ["nova"], volumeZones: ["v1"] });
    expect(typed.volume).toEqual({ sizeGb: 20, zone: "v1" });
  });

  test("is taken where the cloud shows no console", async () => {
    fake.guests.set(NAME, { becomes: "SHUTOFF" });
    expect([await made()]).toEqual(newImages());
  });
});

test("a cluster that needs more packages than its image holds is warned of, and not one that needs fewer", async () => {
  const id = await made();
  const warnings = async (config: RawConfig): Promise<string[]> => {
    const cluster = clusterOf({ ...config, image: id });
    const wanted = { packages: machinePackages(cluster, parts), environment: "prod" };
    return (await preflight(cluster, cloud, { wanted })).warnings.filter((line) => line.startsWith("image: "));
  };
  const more = { monitoring: true };
  const has = machinePackages(clusterOf(), parts);
  const lacks = machinePackages(clusterOf(more), parts).filter((name) => !has.includes(name));
  expect(lacks).not.toEqual([]);
  const then =
    "each new machine installs what is missing at its first boot, which takes longer and needs a way to a mirror. Fix: triplewide image prod makes another";
  const name = fake.images.get(id);
  expect(await warnings({})).toEqual([]);
  expect(await warnings(more)).toEqual([`image: ${name} was made without ${lacks.join(", ")}; ${then}`]);
  expect((await planOf({ image: id, ...more })).upToDate).toBeUndefined();
  // An image of a release that did not write the names.
  delete fake.imageProperties.get(id)?.triplewide_package_names;
  expect(await warnings({})).toEqual([]);
  expect(await warnings(more)).toEqual([
    `image: ${name} was made for other packages than the config needs now; ${then}`,
  ]);
  // An image that another program made has no such property.
  delete fake.imageProperties.get(id)?.triplewide_packages;
  expect(await warnings(more)).toEqual([]);
});

describe("nothing is left, and no half image", () => {
  const expectNothing = (): void => {
    expect(fake.leftovers()).toEqual([]);
    expect(newImages()).toEqual([]);
  };

  test.each([
    ["falls into ERROR", { becomes: "ERROR" }, "server lab.image is in ERROR: the hypervisor is gone"],
    [
      "cannot install",
      { becomes: "ACTIVE", console: `${CONSOLE}failed: retry 5 apt-get (line 7 of boot)\r\n` },
      "server lab.image could not be prepared: retry 5 apt-get (line 7 of boot). Last on its console:\n  [",
    ],
    [
      "is stopped by someone",
      { becomes: "SHUTOFF", console: `${CONSOLE}once more\r\n` },
      "server lab.image was stopped before it was done",
    ],
  ] as const)("where the server %s", async (_, guest, message) => {
    fake.guests.set(NAME, guest);
    expect(await failure(made())).toContain(message);
    expectNothing();
  });

  test.each([
    [
      "never powers off",
      { becomes: "ACTIVE", console: "login: " },
      "server lab.image has not powered off within 0.05 s. Fix: look at the last of its console, give --timeout, or a way to its mirrors (aptMirror, httpProxy, --network):\n  login: ",
    ],
    [
      "never powers off and shows no console",
      { becomes: "ACTIVE" },
      "(this cloud shows no console: openstack console log show)",
    ],
  ] as const)("where the server %s", async (_, guest, message) => {
    fake.guests.set(NAME, guest);
    expect(await failure(made({ bootSeconds: SHORT }))).toContain(message);
    expectNothing();
  });

  test.each([
    ["killed", "could not take image triplewide-0.2.0-debian-12-20261127-1201: it is killed"],
    ["gone", "it is gone"],
    ["saving", "has not taken image triplewide-0.2.0-debian-12-20261127-1201 within 0.05 s"],
  ] as const)("where the image that is taken is %s", async (outcome, message) => {
    fake.imageOutcome = outcome;
    expect(await failure(made(outcome === "saving" ? { imageSeconds: SHORT } : {}))).toContain(message);
    expectNothing();
  });

  test.each([
    ["killed", "could not take image triplewide-0.2.0-debian-12-20261127-1201: it is killed"],
    ["gone", "it is gone"],
    ["saving", "has not taken image triplewide-0.2.0-debian-12-20261127-1201 within 0.05 s"],
  ] as const)("where the image that is made from a volume is %s", async (outcome, message) => {
    fake.imageOutcome = outcome;
    expect(
      await failure(made({ config: ON_VOLUME, ...(outcome === "saving" ? { imageSeconds: SHORT } : {}) })),
    ).toContain(message);
    expectNothing();
  });

  test("where the volume cannot be made, or the server keeps it", async () => {
    fake.brokenVolumes.add(NAME);
    expect(await failure(made({ config: ON_VOLUME }))).toBe(
      "volume lab.image is error; no image was made. Fix: see that the project has room for it, and run this again",
    );
    expectNothing();
    fake.brokenVolumes.clear();
    fake.guests.set(NAME, { ...DONE, stays: true });
    expect(await failure(made({ config: ON_VOLUME, removeSeconds: 0.02 }))).toBe(
      "server lab.image keeps its volume: it is still there after 0.02 s; no image was made",
    );
    fake.guests.set(NAME, DONE);
    await made({ config: ON_VOLUME });
    expect(fake.leftovers()).toEqual([]);
  });

  test("when it is interrupted while the cloud makes the image from a volume", async () => {
    fake.imageOutcome = "saving";
    const abort = new AbortController();
    fake.reply = () => {
      if (newImages().length > 0) abort.abort();
      return "sent";
    };
    expect(await failure(made({ config: ON_VOLUME, imageSeconds: 60, signal: abort.signal }))).toMatch(/abort/i);
    expectNothing();
  });

  test.each([
    ["a disk", {}],
    ["a volume", ON_VOLUME],
  ])("from %s, whichever request is refused, by quota or by policy, or its answer is lost", async (_, config) => {
    await made({ config });
    const lines = changes();
    expect(lines.length).toBeGreaterThan(8);
    fake.images.delete(newImages()[0] ?? "");
    /** A run in which the request with that number fails. */
    const wrong = async (number: number, how: "refused" | "lost"): Promise<string> => {
      let count = 0;
      fake.reply = (line) => (!line.startsWith("DELETE") && ++count === number && how === "lost" ? "lost" : "sent");
      const [method = "", path = ""] = (lines[number - 1] ?? "").split(" ");
      const body = { forbidden: { message: "Quota exceeded for instances" } };
      const pattern = new RegExp(`${path.replace(/[0-9a-f-]{36}/, "[0-9a-f-]{36}")}$`);
      if (how === "refused") fake.faults.push({ method, path: pattern, status: 403, body, times: 1 });
      try {
        return await failure(made({ config }));
      } finally {
        fake.reply = () => "sent";
        fake.faults.length = 0;
      }
    };
    for (const how of ["refused", "lost"] as const) {
      for (const [i, line] of lines.entries()) {
        const said = await wrong(i + 1, how);
        if (how === "refused" && line.endsWith("/remove_router_interface")) {
          // Only the next run can remove this, and it does.
          expect(said).toContain("is there, but this is left: router lab.image");
          await made({ config });
        } else if (said !== "succeeded") {
          const refused =
            /was asked to (POST|PUT|PATCH) .*, but project demo may not: 403 Quota exceeded for instances$/;
          expect(said, `${how}: ${line}`).toMatch(how === "refused" ? refused : /connection reset/);
          expect(newImages(), `${how}: ${line}`).toEqual([]);
        }
        expect(fake.leftovers(), `${how}: ${line}`).toEqual([]);
        for (const id of newImages()) fake.images.delete(id);
      }
    }
  });

  test("of a run on a volume that was killed, after the next one", async () => {
    fake.reply = (line) => {
      if (line.endsWith("/action") && line.includes("/volumes/")) fake.down = true;
      return "sent";
    };
    await failure(made({ config: ON_VOLUME }));
    fake.down = false;
    fake.reply = () => "sent";
    expect(fake.leftovers()).toContain(`volume ${NAME}`);
    fake.hold("/volume/v3/volumes", "99999999-9999-4999-8999-999999999999", { name: "lab.image-of-others" });
    const id = await made({ config: ON_VOLUME });
    expect(fake.leftovers()).toEqual(["volume lab.image-of-others"]);
    expect(newImages()).toEqual([id]);
  });

  test("of a run that was killed, after the next one; what only has a like name stays", async () => {
    fake.hold("/network/v2.0/networks", "66666666-6666-4666-8666-666666666666", { name: "lab-image" });
    fake.hold("/network/v2.0/networks", "77777777-7777-4777-8777-777777777777", { name: "other.image" });
    const theirs = ["network lab-image", "network other.image"];
    // The cloud becomes unreachable in the middle, so that cleaning up fails too.
    fake.reply = (line) => {
      if (line.endsWith("/action")) fake.down = true;
      return "sent";
    };
    await failure(made());
    fake.down = false;
    fake.reply = () => "sent";
    const left = fake.leftovers();
    expect(left).toEqual(
      expect.arrayContaining([`server ${NAME}`, `port ${NAME}`, `network ${NAME}`, `router ${NAME}`]),
    );
    const half = "88888888-8888-4888-8888-888888888888";
    fake.images.set(half, "half");
    fake.imageProperties.set(half, { triplewide_unfinished: "lab", owner: "5f705a1c2b3d4e5f8a9b0c1d2e3f4a5b" });
    const said: string[] = [];
    const id = await made({ report: (line) => said.push(line) });
    expect(said[0]).toBe(
      "removed what an earlier run had left: server, image, port, router, subnet, network, security group",
    );
    expect(fake.leftovers()).toEqual(theirs);
    expect(newImages()).toEqual([id]);
  });

  test("when it is interrupted", async () => {
    fake.guests.set(NAME, { becomes: "ACTIVE", console: CONSOLE });
    const abort = new AbortController();
    const ended = made({
      bootSeconds: 60,
      pollMs: 60_000,
      signal: abort.signal,
      report: (line) => line.includes("installing") && abort.abort(),
    });
    expect(await failure(ended)).toMatch(/abort/i);
    expectNothing();
  });

  test("but what the cloud does not let go, which is said", async () => {
    fake.guests.set(NAME, { ...DONE, stays: true });
    expect(await failure(made({ removeSeconds: 0.02 }))).toMatch(
      /^image triplewide-\S+ \(\S+\) is there, but this is left: server lab\.image \(\S+\): it is still there after 0.02 s/,
    );
    expect(await failure(made({ removeSeconds: 0.02 }))).toMatch(
      /^an earlier run left server lab\.image .*; nothing was made$/,
    );
  });
});

describe("is refused before anything is made", () => {
  afterEach(() => expect(changes()).toEqual([]));

  test("a mirror with a login: user data is read by others", async () => {
    const said = await failure(planOf({ aptMirror: "https://me:pw@mirror.example.org/debian" }));
    expect(said).toContain("its login would stand in the user data of the image's server");
    expect(said).not.toContain("me:pw");
  });

  test("flavors whose disk is too small for the image, or too large for an image of it", async () => {
    expect((await planOf()).flavor.name).toBe("m1.small");
    fake.hold("/compute/v2.1/flavors", "9", { name: "m1.huge", vcpus: 8, ram: 16384, disk: 80 });
    expect(await failure(planOf({}, { flavor: "m1.huge" }))).toContain(
      '--flavor: got "m1.huge"; it has 80 GB of disk, and the image of it would not fit into this cluster\'s machines. Fix: name one with a disk of 1 to 40 GB.',
    );
    fake.imageProperties.set(IMAGE, { min_disk: 41 });
    expect(await failure(planOf())).toContain(
      "no flavor has 1024 MiB of RAM and a disk of 41 to 40 GB. Fix: ask for such a flavor, or set bootVolumeGb",
    );
    // With boot from volume, neither matters.
    expect(await planOf({ bootVolumeGb: 41 }, { flavor: "m1.huge" })).toMatchObject({
      flavor: { name: "m1.huge" },
      volume: { sizeGb: 41 },
    });
    expect(await failure(planOf({}, { flavor: "m1.lrge" }))).toContain("there is no such flavor. Fix: use m1.large");
  });

  test("a volume that is too small, of a type that is not there, or that the cloud cannot make", async () => {
    fake.imageProperties.set(IMAGE, { min_disk: 41 });
    expect(await failure(planOf({ bootVolumeGb: 40, volumeType: "fast" }))).toBe(
      `lab: no image can be made: 2 problems, nothing was changed.
  bootVolumeGb: got 40; image debian-12 needs 41 GB. Fix: use 41 or more.
  volumeType: got "fast"; there is no such volume type. Fix: there is none that this project may use.`,
    );
    const without = await FakeOpenStack.start();
    without.state.services = ["compute", "network", "image"];
    const other = Cloud.fromEnvironment({ env: without.env });
    expect(await failure(planOf({ bootVolumeGb: 40 }, { cloud: other }))).toContain(
      "bootVolumeGb: got 40; this cloud has no volume service (Cinder). Fix: remove it, and use flavors with a disk",
    );
    other.close();
    await without.stop();
  });

  test("a system that cannot be prepared; one that nobody has tried is a warning", async () => {
    fake.imageProperties.set(IMAGE, { os_distro: "ubuntu", os_version: "22.04" });
    expect((await planOf()).warnings).toEqual([
      expect.stringContaining("it has ubuntu 22.04, which no test has booted"),
    ]);
    fake.imageProperties.set(IMAGE, { os_distro: "rocky", os_version: "9" });
    expect(await failure(planOf())).toContain("it has rocky 9, and machines install packages of Debian");
  });

  test("an image that is not there", async () => {
    expect(await failure(planOf({}, { from: "debian-21" }))).toMatch(
      /^lab: no image can be made: 1 problem, nothing was changed\.\n {2}--from: got "debian-21"; there is no such image\. Fix: use debian-12\.$/,
    );
  });
});

describe("triplewide image", { timeout: 240_000 }, () => {
  const stack = stackFolder({ ...SMALL_CLOUD, clusterName: "lab", architecture: "standalone" }, "exit 1");
  afterEach(() => rmSync(stack.folder, { recursive: true, force: true }));
  interface Ended {
    code: number | null;
    out: string;
    err: string;
  }
  /** Runs it, and sends Ctrl-C once it has said `interruptAt`. */
  const image = (words: string[], interruptAt?: string): Promise<Ended> =>
    new Promise((resolve) => {
      const env = { ...stack.options.env, ...fake.env };
      const child = spawn(TRIPLEWIDE, ["image", ...words], { cwd: stack.folder, env });
      const said = { out: "", err: "" };
      child.stdout.on("data", (chunk: Buffer) => {
        const before = said.out;
        said.out += chunk;
        if (interruptAt !== undefined && !before.includes(interruptAt) && said.out.includes(interruptAt))
          child.kill("SIGINT");
      });
      child.stderr.on("data", (chunk: Buffer) => (said.err += chunk));
      child.on("close", (code) => resolve({ code, ...said }));
    });

  test("says what it would do, does it, and finds that it was done; Ctrl-C leaves nothing", async () => {
    fake.imageProperties.set(IMAGE, { os_distro: "ubuntu", os_version: "22.04" });
    expect((await image(["prod", "--dry-run"])).err).toMatch(/^warning: image: it has ubuntu 22\.04/);
    fake.imageProperties.delete(IMAGE);
    const dry = await image(["prod", "--dry-run"]);
    expect(dry).toMatchObject({
      code: 0,
      err: "",
      out: expect.stringMatching(/docker\.io[\s\S]*Nothing was changed \(--dry-run\)\.\n$/),
    });
    expect(changes()).toEqual([]);

    fake.guests.set(NAME, { becomes: "ACTIVE", console: CONSOLE });
    const interrupted = await image(["prod"], "installing docker.io");
    expect(interrupted).toMatchObject({
      code: 130,
      err: "",
      out: expect.stringContaining("Interrupted: deleting what was made"),
    });
    expect([fake.leftovers(), newImages()]).toEqual([[], []]);

    fake.guests.set(NAME, DONE);
    const done = await image(["prod"]);
    expect(done.err).toBe("");
    const [id = ""] = newImages();
    expect(done.out).toContain(`(${id}). In Pulumi.prod.yaml:\n  triplewide:image: ${fake.images.get(id)}\n`);
    expect((await image(["prod"])).out).toMatch(/^There is one already/);
    expect(newImages()).toEqual([id]);
    expect(await image(["prod", "--set", "platform=docker"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("image is for a cluster on OpenStack"),
    });
  });
});
