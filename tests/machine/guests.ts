import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { hostKeyAlias, knownHosts, withHostKey } from "../../cluster/host-keys.ts";
import type { ImageName } from "../../cluster/image-catalogue.ts";
import { localReference } from "../../cluster/images.ts";
import { SECRET_NAMES } from "../../cluster/secret-names.ts";
import { ownRegistry, PUSH_ADDRESS, PUSH_USER } from "../../cluster/services/registry/registry.ts";
import type { Cluster, Machine } from "../../cluster/types.ts";
import { pinnedVersions, readCheckout } from "../../lib/checkout.ts";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { buildImages } from "../../local/images.ts";
import { Ssh } from "../../machines/ssh.ts";
import type { MesosArchive } from "../../mesos/archive.ts";
import { packUserData } from "../../render/cloud-init/pack.ts";
import { renderGates, renderUserData } from "../../render/cloud-init.ts";

/**
 * Machines for tests: each a container that runs systemd, cloud-init and its own Docker, on a network with the cluster's
 * addresses. Like a machine of OpenStack, they get only their user data.
 */

const run = promisify(execFile);

/** A disk of this machine that a guest can use. */
export interface Disk {
  /** Major and minor number, as `mknod` takes them. */
  number: string;
}

/** The result of a command. */
export interface Result {
  code: number;
  output: string;
}

/** Why guests cannot be booted on this machine; empty if they can. */
export async function missing(): Promise<string> {
  try {
    await findDocker();
    return "";
  } catch (error) {
    return (error as Error).message.split("\n")[0] ?? "no Docker";
  }
}

/** Whether this process may make block devices, and so give a guest a volume. */
export function canHaveVolumes(): boolean {
  try {
    execFileSync("losetup", ["--find"], { stdio: "ignore" });
    return process.getuid?.() === 0;
  } catch {
    return false;
  }
}

/** Guest images: like Debian's own, and like a site's image with Docker in it. */
export type GuestImage = "plain" | "with-docker";
/** An image that was taken of a machine which had powered off. */
export interface TakenImage {
  reference: string;
}
/** Debian release of the guests, such as `trixie`. @default the release of the project's images */
export const RELEASE = process.env.GUEST_RELEASE || undefined;
export const imageName = (image: GuestImage): string => `triplewide-test/guest:${RELEASE ? `${RELEASE}-` : ""}${image}`;

const NOT_A_CONTAINER = [
  // A guest may change kernel settings. SYS_RESOURCE is left out: where these tests run in a container, that may lack it.
  ["--cap-add", "ALL"],
  ["--cap-drop", "SYS_RESOURCE"],
  ["--security-opt", "seccomp=unconfined"],
  ["--security-opt", "apparmor=unconfined"],
  ["--security-opt", "systempaths=unconfined"],
  ["--cgroupns", "private"],
  // Loop devices stand for volumes.
  ["--device-cgroup-rule", "b 7:* rwm"],
  ["--sysctl", "net.ipv6.conf.all.disable_ipv6=0"],
  // A container inside of a guest cannot have more capabilities than the guest.
  ["--volume", `${join(ROOT, "tests/lab/guest/runc")}:/usr/local/sbin/runc:ro`],
  // Guests trust the same authorities as this machine, such as a proxy's or a mirror's.
  ...(process.env.SSL_CERT_FILE
    ? [["--volume", `${process.env.SSL_CERT_FILE}:/etc/ssl/certs/ca-certificates.crt:ro`]]
    : []),
].flat();

/** The machines of one test file, on a network of their own. */
export class Guests {
  readonly cluster: Cluster;
  readonly secrets = new Map<string, string>();
  private readonly prefix = `machine-test-${process.pid}`;
  private readonly started: string[] = [];
  private readonly taken: string[] = [];
  private readonly loops: string[] = [];
  private readonly disks = new Map<string, Disk>();
  private readonly mounts: string[] = [];
  private readonly folder = mkdtempSync(join(tmpdir(), "machine-test-"));
  private client = "docker";
  /** Private key of the user who brings the cluster up. Its public key is in each machine's metadata, as in a cloud. */
  private readonly keyFile = join(this.folder, "key");

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  /** Makes the guest image and the network. */
  async prepare(): Promise<void> {
    this.client = (await findDocker()).client;
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", this.keyFile]);
    const base = RELEASE === undefined ? pinnedVersions(ROOT).BASE_IMAGE : await this.debian(RELEASE);
    for (const image of ["plain", "with-docker"] as const) {
      const args = ["--target", image, "--build-arg", `BASE_IMAGE=${base}`, "-t", imageName(image)];
      // The classic builder needs no plugin, and this build needs none of BuildKit's features.
      const env = { ...process.env, DOCKER_BUILDKIT: "0" };
      await run(this.client, ["build", "-q", ...args, join(ROOT, "tests/machine/guest")], { env });
    }
    await this.docker("network", "create", "--subnet", this.cluster.config.networkCidr, this.prefix);
  }

  /** An image of a Debian release, from Debian's packages. */
  private async debian(release: string): Promise<string> {
    const name = `triplewide-test/debian:${release}`;
    if ((await this.docker("images", "-q", name)) !== "") return name;
    const file = join(this.folder, "debian.tar");
    await run("mmdebstrap", [
      "--quiet",
      "--variant=minbase",
      "--skip=output/dev",
      "--include=ca-certificates",
      release,
      file,
    ]);
    await this.docker("import", "--change", 'CMD ["bash"]', file, name);
    rmSync(file);
    return name;
  }

  /** Output of a command of this machine's Docker. */
  async docker(...args: string[]): Promise<string> {
    const { stdout } = await run(this.client, args, {
      maxBuffer: 1 << 26,
      // A separate configuration, so that logins to a test's registry do not end up in the user's.
      env: this.env(),
    });
    return stdout.trim();
  }

  private env(): NodeJS.ProcessEnv {
    return { ...process.env, DOCKER_CONFIG: this.folder };
  }

  /** The cluster's machines by SSH through its bastion, as `pulumi up` reaches them. */
  ssh(): Ssh {
    const { config } = this.cluster;
    const bastion = this.machine("bastion");
    return new Ssh({
      user: config.sshUser,
      privateKey: readFileSync(this.keyFile, "utf8"),
      knownHosts: knownHosts(this.cluster, this.secrets.get(SECRET_NAMES.hostKeys) ?? ""),
      bastion: { ...bastion, hostKeyAlias: hostKeyAlias(this.cluster, bastion) },
    });
  }

  /** Runs `work` while this machine's Docker is logged in to the registry's port for pushing: `127.0.0.1:<port>`, an SSH tunnel. */
  async whilePushing<T>(work: (place: string) => Promise<T>): Promise<T> {
    const ssh = this.ssh();
    try {
      const { port } = await ssh.forward(
        this.machine("registry"),
        this.cluster.config.registryPushPort,
        0,
        PUSH_ADDRESS,
      );
      const place = `127.0.0.1:${port}`;
      const login = execFile(this.client, ["login", "--username", PUSH_USER, "--password-stdin", place], {
        env: this.env(),
      });
      login.stdin?.end(this.secrets.get(SECRET_NAMES.registryPush));
      const [code] = await once(login, "exit");
      if (code !== 0) throw new Error(`docker login at the registry ended with ${code}`);
      return await work(place);
    } finally {
      await ssh.close();
    }
  }

  /**
   * Boots the bastion and the registry, pushes the cluster's images to it, and boots the other machines. Call `prepare` before. Machines that have
   * volumes get the ones that they had before.
   *
   * @param options Options of `docker run`, by machine.
   * @param archives As for `pushImages`.
   * @param meanwhile Further work that machines wait for. It starts together with them, once the registry has the images.
   * @returns Every machine, when it and its group are ready.
   */
  async bootAll(
    options: Readonly<Record<string, readonly string[]>> = {},
    archives: ReadonlyMap<string, MesosArchive> = new Map(),
    meanwhile: (pushed: ReadonlyMap<ImageName, string>) => Promise<unknown> = async () => undefined,
  ): Promise<Map<string, Guest>> {
    const noImage = (name: ImageName): string => `no-such-image/${name}`;
    const booted = new Map<string, Guest>();
    const boot = async (name: string, image: GuestImage, imageOf: (name: ImageName) => string): Promise<Guest> => {
      const guest = await this.boot(name, image, this.userData(name, imageOf), ...(options[name] ?? []));
      booted.set(name, guest);
      const { volumeGb } = guest.machine;
      if (volumeGb !== undefined) {
        const disk = this.disks.get(name) ?? this.makeDisk(name, volumeGb);
        this.disks.set(name, disk);
        await guest.out(`[ -b /dev/vdb ] || mknod /dev/vdb b ${disk.number}`);
      }
      return guest;
    };
    const first = await Promise.all([boot("bastion", "plain", noImage), boot("registry", "with-docker", noImage)]);
    await Promise.all(first.map((guest) => guest.ready(900)));
    const pushed = await this.pushImages(archives);
    const others = this.cluster.machines.map(({ name }) => name).filter((name) => !booted.has(name));
    await Promise.all([
      meanwhile(pushed),
      ...others.map(async (name) => {
        const guest = await boot(name, "with-docker", (image) => pushed.get(image) ?? noImage(image));
        await guest.ready(1800, true);
      }),
    ]);
    return booted;
  }

  /**
   * Pushes the images of all containers to the cluster's registry, after it has built those that this machine lacks.
   *
   * @param archives The Mesos that images are to hold, by its source.
   * @returns For each image, the reference by digest that machines pull.
   */
  async pushImages(archives: ReadonlyMap<string, MesosArchive> = new Map()): Promise<Map<ImageName, string>> {
    const images = [...new Set(this.cluster.services.flatMap(({ image }) => image ?? []))];
    const versions = pinnedVersions(ROOT);
    const local = (name: ImageName): string => localReference(name, this.cluster.config, versions);
    const there = await Promise.all(images.map((name) => this.docker("image", "inspect", local(name)).catch(() => "")));
    if (there.includes("")) await buildImages(ROOT, this.cluster, archives, new AbortController().signal);
    return this.whilePushing(async (place) => {
      const pushed = new Map<ImageName, string>();
      for (const name of images) pushed.set(name, await this.push(local(name), place));
      return pushed;
    });
  }

  /** Pushes an image of this machine's Docker. @returns The reference by digest that machines pull. */
  private async push(image: string, place: string): Promise<string> {
    const name = image.replace(/:[^:/]*$/, "");
    await this.docker("tag", image, `${place}/${name}`);
    const pushed = await this.docker("push", `${place}/${name}`);
    await this.docker("rmi", `${place}/${name}`);
    const digest = /digest: (sha256:[0-9a-f]{64})/.exec(pushed)?.[1];
    if (!digest) throw new Error(`no digest in what docker push said: ${pushed}`);
    return `${ownRegistry(this.cluster)}/${name}@${digest}`;
  }

  machine(name: string): Machine {
    const machine = this.cluster.machines.find((m) => m.name === name);
    if (!machine) throw new Error(`the cluster has no machine ${name}`);
    return machine;
  }

  container(name: string): string {
    return `${this.prefix}-${name}`;
  }

  /** The user data of a machine with its placeholders filled in. */
  userData(name: string, imageOf: (image: ImageName) => string): string {
    const secretOf = (secret: string): string => {
      const value =
        this.secrets.get(secret) ?? `secret${this.secrets.size}${"x".repeat(24)}${secret.replaceAll("-", "")}`;
      this.secrets.set(secret, value);
      return value;
    };
    const lookUp = withHostKey(name, (ref) => {
      if (ref.kind === "cloud") return this.machine("bastion").address;
      return ref.kind === "image" ? imageOf(ref.name) : secretOf(ref.name);
    });
    return renderUserData(this.cluster, this.machine(name), readCheckout(), lookUp);
  }

  /** Starts a machine. It continues to boot after this returns. */
  async boot(name: string, image: GuestImage | TakenImage, userData: string, ...options: string[]): Promise<Guest> {
    const machine = this.machine(name);
    const container = this.container(name);
    this.started.push(container);
    const seed = mkdtempSync(join(this.folder, `${name}-`));
    // Packed as for a server of OpenStack.
    writeFileSync(join(seed, "user-data"), packUserData(userData), { mode: 0o600, encoding: "base64" });
    writeFileSync(
      join(seed, "meta-data"),
      `instance-id: ${container}\nlocal-hostname: fresh\npublic-keys: [${JSON.stringify(readFileSync(`${this.keyFile}.pub`, "utf8").trim())}]\n`,
    );
    await this.docker(
      "run",
      "--detach",
      "--name",
      container,
      "--network",
      this.prefix,
      "--ip",
      machine.address,
      "--hostname",
      "fresh",
      "--volume",
      `${seed}:/var/lib/cloud/seed/nocloud:ro`,
      "--volume",
      `${container}:/var/lib/docker`,
      ...NOT_A_CONTAINER,
      ...options,
      typeof image === "string" ? imageName(image) : image.reference,
    );
    return new Guest(this, machine);
  }

  /** Waits for a machine to power off by itself, and takes an image of it in place of the machine. */
  async takeImage(name: string, timeoutSeconds: number): Promise<TakenImage> {
    const container = this.container(name);
    const start = Date.now();
    while (await this.runs(name)) {
      if (Date.now() - start > timeoutSeconds * 1000) {
        const said = await new Guest(this, this.machine(name)).sh(
          "journalctl -u triplewide-image.service -n 30 --no-pager -o cat",
        );
        throw new Error(`${name} has not powered off after ${timeoutSeconds} s:\n${said.output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
    const reference = `triplewide-test/${container}:taken`;
    await this.docker("commit", container, reference);
    this.taken.push(reference);
    await this.remove(container);
    return { reference };
  }

  /** Removes a machine, so that another one can have its name and address. */
  discard(name: string): Promise<void> {
    return this.remove(this.container(name));
  }

  /** Removes all machines but not their volumes, and gives each secret a new value for the machines that boot next. */
  async renew(): Promise<void> {
    await Promise.all(this.cluster.machines.map(({ name }) => this.discard(name)));
    for (const [name, value] of this.secrets) this.secrets.set(name, `new${value}`);
  }

  private async remove(container: string): Promise<void> {
    await this.docker("rm", "--force", "--volumes", container).catch(() => undefined);
    await this.docker("volume", "rm", "--force", container).catch(() => undefined);
  }

  /** Runs a container on the cluster's network that is not one of its machines. */
  async runAside(name: string, ...args: string[]): Promise<void> {
    const container = this.container(name);
    this.started.push(container);
    await this.docker("run", "--detach", "--name", container, "--network", this.prefix, ...args);
  }

  /** A blank disk of this many GB. */
  makeDisk(name: string, gigabytes: number): Disk {
    const file = join(this.folder, `${name}.disk`);
    execFileSync("truncate", ["--size", `${gigabytes}G`, file]);
    const device = execFileSync("losetup", ["--find", "--show", file], { encoding: "utf8" }).trim();
    this.loops.push(device);
    return { number: `7 ${device.replace("/dev/loop", "")}` };
  }

  /** Options that give a guest control groups version 2, which this machine's containers may lack. */
  controlGroups2(): string[] {
    if (existsSync("/sys/fs/cgroup/cgroup.controllers")) return [];
    const place = mkdtempSync(join(this.folder, "cgroup-"));
    execFileSync("mount", ["-t", "cgroup2", "none", place]);
    this.mounts.push(place);
    return ["--volume", `${place}:/sys/fs/cgroup`];
  }

  /** Whether a guest has power. */
  async runs(name: string): Promise<boolean> {
    return (await this.docker("inspect", "--format", "{{.State.Running}}", this.container(name))) === "true";
  }

  /** Removes everything that this made. */
  async cleanUp(): Promise<void> {
    for (const container of this.started) await this.remove(container);
    for (const reference of this.taken) await this.docker("rmi", "--force", reference).catch(() => undefined);
    await this.docker("network", "rm", this.prefix).catch(() => undefined);
    for (const device of this.loops) {
      try {
        execFileSync("losetup", ["--detach", device]);
      } catch {
        // The device was detached already, with the guest that had mounted it.
      }
    }
    for (const place of this.mounts) execFileSync("umount", [place]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** One booted machine. */
export class Guest {
  readonly machine: Machine;
  private readonly guests: Guests;

  constructor(guests: Guests, machine: Machine) {
    this.guests = guests;
    this.machine = machine;
  }

  /** Runs a bash script on the machine, as root unless told. */
  async sh(script: string, input = "", user = "0"): Promise<Result> {
    const args = [
      "exec",
      "--interactive",
      "--user",
      user,
      this.guests.container(this.machine.name),
      "bash",
      "-c",
      script,
    ];
    return new Promise((resolve) => {
      const child = execFile("docker", args, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
        const code = error ? (typeof error.code === "number" ? error.code : 1) : 0;
        resolve({ code, output: `${stdout}${stderr}`.trim() });
      });
      // Ignores the error of a script that ends before it has read its input; its exit code tells.
      child.stdin?.on("error", () => {});
      child.stdin?.end(input);
    });
  }

  /** Runs a script that must succeed. @returns Its output. */
  async out(script: string): Promise<string> {
    const { code, output } = await this.sh(script);
    if (code !== 0) throw new Error(`${this.machine.name}: ${script}\nended with ${code}:\n${output}`);
    return output;
  }

  /** Waits until the machine is ready, with `cluster` its group too. @returns Seconds. @throws Error with the end of its log. */
  async ready(timeoutSeconds: number, cluster = false): Promise<number> {
    const gates = cluster ? renderGates(this.guests.cluster, this.machine.group) : "";
    const start = Date.now();
    for (;;) {
      const { code, output } = await this.sh(`triplewide-ready ${cluster ? "--cluster" : ""}`, gates);
      const seconds = (Date.now() - start) / 1000;
      if (code === 0) return seconds;
      if (code === 2 || seconds > timeoutSeconds) {
        const log = await this.sh(
          "tail -n 30 /var/log/cloud-init-output.log; systemctl list-units --failed --no-legend",
        );
        throw new Error(`${this.machine.name} is not ready after ${seconds} s (${code}):\n${output}\n${log.output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
}
