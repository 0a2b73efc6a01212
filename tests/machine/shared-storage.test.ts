import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { SHARED_FOLDER, usersFolder } from "../../cluster/shared-storage.ts";
import { SMALL_CLOUD } from "../fixtures/configs.ts";
import { type Guest, Guests, missing } from "./guests.ts";

/**
 * The folder that the client serves to agents. Guests have this machine's kernel, which may be unable to mount NFS: what an
 * agent says then is tested as well. The tests write with a client in user space (libnfs).
 */

const MINUTES = 60_000;
const reason = await missing();
const kernelHasNfs = /\bnfs4\b/.test(readFileSync("/proc/filesystems", "utf8"));

describe.skipIf(reason !== "")(`the shared folder${reason && ` (skipped: ${reason})`}`, () => {
  const whole = describeCluster(
    validate(
      {
        ...SMALL_CLOUD,
        architecture: "standalone",
        networkCidr: "10.203.0.0/16",
        dataVolumes: false,
        notebooks: "hub",
        users: { alice: {} },
      },
      "env",
    ),
  );
  // Only the service that serves the folder, which pulls no image. The agent keeps the service that requires the mount.
  const services = whole.services.filter((s) => s.name === "shared-storage");
  const worker = whole.services.find((s) => s.name === "spark-worker" && s.machine === "agent-1");
  if (!worker) throw new Error("no worker");
  const { image: _, ...native } = worker;
  const idle = {
    ...native,
    image: undefined,
    runtime: "systemd" as const,
    command: ["/usr/bin/sleep", "infinity"],
    files: [],
    health: { ...worker.health, probe: { kind: "all" as const, of: [] } },
  };
  const guests = new Guests({ ...whole, services: [...services, idle] });
  let client: Guest;
  let agent: Guest;

  beforeAll(async () => {
    await guests.prepare();
    // A volume, because NFS needs file handles, which a container's own layers do not support.
    const disk = ["--volume", "/var/lib/triplewide"];
    client = await guests.boot("client", "plain", guests.userData("client", String), ...disk);
    agent = await guests.boot("agent-1", "plain", guests.userData("agent-1", String));
    await client.ready(900);
  }, 20 * MINUTES);
  afterAll(() => guests.cleanUp(), 2 * MINUTES);

  test("is served by the client: whoever writes there, it is Spark's user's", async () => {
    await agent.out("apt-get -qq -o DPkg::Lock::Timeout=600 update");
    await agent.out(
      "apt-get -qq -o DPkg::Lock::Timeout=600 install -y --no-install-recommends libnfs-utils >/dev/null",
    );
    const url = `nfs://${client.machine.address}${SHARED_FOLDER}`;
    await agent.out(`echo from-the-agent >/tmp/note && nfs-cp /tmp/note "${url}/note?version=4"`);
    const kept = `/var/lib/triplewide/jupyter${SHARED_FOLDER}`;
    expect(await client.out(`cat ${kept}/note; stat -c '%u:%g' ${kept}/note`)).toBe("from-the-agent\n1000:1000");
  });

  test("serves the folders of the hub's users as another one, in which executors write to theirs and nobody replaces one", async () => {
    const kept = `/var/lib/triplewide/hub-guard${SHARED_FOLDER}/users`;
    // A user's folder, made like the ones by the hub's guard.
    await client.out(`install -d -m 0770 -o 2001 -g 1000 ${kept}/alice`);
    const to = (path: string) => `nfs-cp /tmp/note "nfs://${client.machine.address}${path}?version=4"`;
    await agent.out(to(`${usersFolder.at}/alice/note`));
    expect(await client.out(`cat ${kept}/alice/note; stat -c '%u:%g' ${kept}/alice/note`)).toBe(
      "from-the-agent\n1000:1000",
    );
    expect((await agent.sh(to(`${usersFolder.at}/note`))).code).not.toBe(0);
    expect(await client.out(`ls ${kept}`)).toBe("alice");
    // A folder of the same name in the shared folder is not the user's folder.
    await agent.sh(to(`${SHARED_FOLDER}/users/alice/other`));
    expect(await client.out(`ls ${kept}/alice`)).toBe("note");
  });

  test("does not come with services that nobody asked for", async () => {
    const listening = await client.out(
      "ss -Htln | awk '$4 !~ /^127/ {print $4}' | sed 's/.*://' | sort -un | tr '\\n' ' '",
    );
    expect(listening.trim().split(" ")).toEqual(["22", "2049"]);
  });

  test.skipIf(kernelHasNfs)("on a guest whose kernel cannot mount it, the unit says so and what to set", async () => {
    const said = "until journalctl -u triplewide-shared -o cat | grep -m 1 sharedStorage; do sleep 1; done";
    expect(await agent.out(`timeout 600 bash -c '${said}'`)).toBe(
      "the kernel of this guest image has no NFS: use another image, or set sharedStorage to none",
    );
    // The service does not start, so it cannot write to the empty mount point.
    expect((await agent.sh("systemctl is-active triplewide-spark-worker")).output).not.toBe("active");
  });

  test.runIf(kernelHasNfs)("is mounted by the agent before its services start", async () => {
    await agent.ready(600);
    expect(await agent.out(`findmnt -no FSTYPE ${SHARED_FOLDER}`)).toBe("nfs4");
    expect(await agent.out(`cat ${SHARED_FOLDER}/note`)).toBe("from-the-agent");
  });
});
