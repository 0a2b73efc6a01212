import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hostKey } from "../../cluster/host-keys.ts";
import type { ImageName } from "../../cluster/image-catalogue.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import { SECRET_NAMES } from "../../cluster/secret-names.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { machinePackages } from "../../render/cloud-init/software.ts";
import { renderImageUserData } from "../../render/cloud-init.ts";
import { RECORDS_SCRIPT, readTimeline } from "../../render/timeline.ts";
import { eventually } from "../containers/harness.ts";
import { SMALL_CLOUD } from "../fixtures/configs.ts";
import { type Guest, Guests, missing, type TakenImage } from "./guests.ts";

/**
 * The image that `triplewide image` makes: a plain guest gets the user data of the machine for images, powers off by itself,
 * and machines boot from what it left with the user data that they have on any other image.
 */

const MINUTES = 60_000;
const reason = await missing();

describe.skipIf(reason !== "")(`an image with a cluster's packages${reason && ` (skipped: ${reason})`}`, () => {
  const cluster = describeCluster(
    validate(
      {
        architecture: "standalone",
        ...SMALL_CLOUD,
        networkCidr: "10.202.0.0/16",
        sharedStorage: "none",
        agentCount: 1,
        dataVolumes: false,
        monitoring: true,
        ntpServers: ["192.0.2.1"],
      },
      "env",
    ),
  );
  const packages = machinePackages(cluster, readCheckout());
  const guests = new Guests(cluster);
  const noImage = (name: ImageName): string => `no-such-image/${name}`;
  let image: TakenImage;
  let registry: Guest;
  let agent: Guest;

  /** The output of a script in a container of the image in which nothing else runs. */
  const inImage = (script: string): Promise<string> =>
    guests.docker("run", "--rm", "--entrypoint", "bash", image.reference, "-c", script);

  /** Seconds that the first boot's own script took; its services, which start then, are not in it. */
  async function firstBoot(guest: Guest): Promise<number> {
    const log = await eventually(
      `${guest.machine.name} has booted`,
      900,
      async () => (await guest.sh("grep '^triplewide ' /var/log/cloud-init-output.log")).output,
      (said) => /^triplewide +\d+s (first boot done|failed)/m.test(said),
    );
    const [, seconds] = /^triplewide +(\d+)s first boot done$/m.exec(log) ?? [];
    if (seconds === undefined) throw new Error(log);
    return Number(seconds);
  }

  beforeAll(async () => {
    await guests.prepare();
    const names = ["registry", "agent-1"] as const;
    const seconds = new Map<string, number>();
    for (const name of names) {
      const plain = await guests.boot(name, "plain", guests.userData(name, noImage));
      seconds.set(name, await firstBoot(plain));
      await guests.discard(name);
    }
    const start = Date.now();
    await guests.boot("bastion", "plain", renderImageUserData(cluster, readCheckout()));
    image = await guests.takeImage("bastion", 900);
    const making = ((Date.now() - start) / 1000).toFixed(0);
    registry = await guests.boot("registry", image, guests.userData("registry", noImage));
    agent = await guests.boot("agent-1", image, guests.userData("agent-1", noImage));
    for (const guest of [registry, agent]) {
      const prepared = await firstBoot(guest);
      const plain = seconds.get(guest.machine.name);
      process.stdout.write(
        `${guest.machine.name}: first boot ${plain} s on a plain guest, ${prepared} s on the image\n`,
      );
    }
    process.stdout.write(`the machine that the image is taken of: ${making} s to its end\n`);
  }, 45 * MINUTES);

  afterAll(() => guests.cleanUp(), 5 * MINUTES);

  test("holds every package that a machine of the cluster installs", async () => {
    expect(packages).toEqual(expect.arrayContaining(["docker.io", "docker-registry", "prometheus-node-exporter"]));
    const there = await inImage(`dpkg-query -W -f '\${Package} \${Status}\\n' ${packages.join(" ")}`);
    expect(there.split("\n").sort()).toEqual(packages.map((name) => `${name} install ok installed`));
  });

  test("holds nothing of the machine that it was taken of, nor of the config", async () => {
    expect(await inImage("stat -c %s /etc/machine-id")).toBe("0");
    // Each ends with a star, because the shell (nullglob) removes only patterns that match nothing.
    const left = [
      "/etc/ssh/ssh_host_*",
      "/etc/triplewide*",
      "/usr/local/sbin/triplewide*",
      "/usr/local/lib/triplewide*",
      "/etc/systemd/system/triplewide*",
      "/etc/systemd/timesyncd.conf.d/triplewide*",
      "/etc/chrony/sources.d/triplewide*",
      "/var/lib/cloud/instance*",
      "/var/lib/cloud/sem*",
      "/var/lib/cloud/data*",
      "/var/log/cloud-init*",
      "/var/log/journal/*",
      "/var/lib/apt/lists/*",
      "/var/cache/apt/archives/*.deb*",
      "/var/lib/systemd/random-seed*",
      "/var/lib/docker/*",
      "/usr/sbin/policy-rc.d*",
      "/home/*",
      "/tmp/*",
    ];
    expect(await inImage(`shopt -s nullglob; echo ${left.join(" ")}`)).toBe("");
    // wtmp is excepted, because the shutdown is recorded there at the very end.
    expect(await inImage("find /var/log -type f -size +0 -not -name wtmp")).toBe("");
    // The image must not have additional accounts.
    expect(await inImage("awk -F: '$3 >= 1000 && $3 < 60000 { print $1 }' /etc/passwd")).toBe("");
  });

  test("a machine that boots from it installs nothing, and becomes ready", async () => {
    await registry.ready(600);
    for (const guest of [registry, agent]) {
      const { machine } = guest;
      expect(await guest.out("cat /var/log/cloud-init-output.log"), machine.name).not.toContain("installing");
      const spans = readTimeline(machine.name, (await guest.sh(RECORDS_SCRIPT)).output)?.spans ?? [];
      expect(spans.map((span) => span.what)).toContain("cloud-final");
      expect(spans.filter((span) => span.kind === "packages")).toEqual([]);
    }
  });

  test("is new to each machine: its number, its name, its key and its user", async () => {
    const ids = await Promise.all([registry, agent].map((guest) => guest.out("cat /etc/machine-id")));
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
    for (const guest of [registry, agent]) {
      expect(await guest.out("hostname")).toBe(`env-${guest.machine.name}`);
      expect(await guest.out(`id -u ${cluster.config.sshUser}`)).toBe("2000");
      expect(await guest.out("ls /etc/ssh/ssh_host_*")).toBe(
        "/etc/ssh/ssh_host_ecdsa_key\n/etc/ssh/ssh_host_ecdsa_key.pub",
      );
      const { publicKey } = hostKey(guests.secrets.get(SECRET_NAMES.hostKeys) ?? "", guest.machine.name);
      expect(publicKey).toContain((await guest.out("cut -d' ' -f2 /etc/ssh/ssh_host_ecdsa_key.pub")).trim());
    }
  });

  test("starts only what a machine's own user data starts", async () => {
    const running = (guest: Guest) =>
      guest.out("systemctl list-units --type=service --state=running --plain --no-legend");
    expect(await running(agent)).toMatch(/^docker\.service/m);
    for (const guest of [registry, agent]) {
      expect(await running(guest)).not.toMatch(
        /^(docker-registry|prometheus-node-exporter|nfs-ganesha|rpcbind)\.service/m,
      );
      expect(await guest.out("systemctl list-units --failed --no-legend 'docker*' 'nfs*' 'rpc*'")).toBe("");
    }
    // A machine without containers has no Docker at work, though the image has it.
    expect(await running(registry)).not.toMatch(/^docker\.service/m);
  });
});
