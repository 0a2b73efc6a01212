import { execFileSync } from "node:child_process";
import type { IncomingMessage } from "node:http";
import * as http from "node:http";
import * as https from "node:https";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { identityOf } from "../../cluster/authority.ts";
import { hostKey, knownHosts } from "../../cluster/host-keys.ts";
import type { ImageName } from "../../cluster/image-catalogue.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import { SECRET_NAMES } from "../../cluster/secret-names.ts";
import { authorityOf } from "../../cluster/services/gateway/tls.ts";
import { PUSH_USER, REGISTRY_USER } from "../../cluster/services/registry/registry.ts";
import { fill } from "../../cluster/values.ts";
import { shellQuote } from "../../lib/quote.ts";
import { Ssh } from "../../machines/ssh.ts";
import { execLine } from "../../render/cloud-init/systemd.ts";
import { RECORDS_SCRIPT, readTimeline } from "../../render/timeline.ts";
import { eventually } from "../containers/harness.ts";
import { SMALL_CLOUD } from "../fixtures/configs.ts";
import { canHaveVolumes, type Disk, type Guest, Guests, imageName, missing } from "./guests.ts";

/**
 * A whole standalone cluster from nothing but the user data of its machines: bastion, registry, master, agent and client
 * boot under systemd and cloud-init, pull their images from the registry machine and run a job.
 */

const MINUTES = 60_000;
const volumes = canHaveVolumes();
const reason = await missing();

describe.skipIf(reason !== "")(`a standalone cluster${reason && ` (skipped: ${reason})`}`, () => {
  const cluster = describeCluster(
    validate(
      {
        architecture: "standalone",
        ...SMALL_CLOUD,
        networkCidr: "10.201.0.0/16",
        // For the reason in native.test.ts.
        sharedStorage: "none",
        agentCount: 1,
        agentCpus: 2,
        agentMemoryMiB: 1500,
        executorMemoryOverheadMiB: 400,
        dataVolumes: volumes,
        registryVolumeGb: 3,
        clientVolumeGb: 1,
        tls: "own",
        userCidrs: ["198.51.100.0/24"],
        monitoring: true,
      },
      "env",
    ),
  );
  const guests = new Guests(cluster);
  let bastion: Guest;
  let registry: Guest;
  let master: Guest;
  let agent: Guest;
  let client: Guest;
  let notebooks: Disk | undefined;
  const seconds: Record<string, number> = {};
  const noImage = (name: ImageName): string => `no-such-image/${name}`;
  /** The registry's address and port; the file of its trusted authority; and that file as an option of curl. */
  const at = () => `${registry.machine.address}:5000`;
  const trustFile = () => `/etc/docker/certs.d/${at()}/ca.crt`;
  const trusting = () => `--cacert ${trustFile()}`;

  /** Attaches a volume as the cloud does: some time after the machine has started. */
  async function attach(guest: Guest, disk: Disk, path = "/dev/vdb"): Promise<void> {
    await guest.out(`[ -b ${path} ] || mknod ${path} b ${disk.number}`);
  }

  beforeAll(async () => {
    await guests.prepare();
    bastion = await guests.boot("bastion", "plain", guests.userData("bastion", noImage));
    registry = await guests.boot("registry", "plain", guests.userData("registry", noImage));
    if (volumes) await attach(registry, guests.makeDisk("registry", 3));
    seconds.bastion = await bastion.ready(600);
    seconds.registry = await registry.ready(900);
    const pushed = await guests.pushImages();
    const imageOf = (name: ImageName): string => pushed.get(name) ?? noImage(name);
    const start = Date.now();
    master = await guests.boot("master-1", "with-docker", guests.userData("master-1", imageOf));
    agent = await guests.boot("agent-1", "plain", guests.userData("agent-1", imageOf));
    client = await guests.boot("client", "with-docker", guests.userData("client", imageOf));
    if (volumes) {
      notebooks = guests.makeDisk("client", 1);
      await attach(client, notebooks);
    }
    await Promise.all(
      [master, agent, client].map(async (guest) => {
        await guest.ready(1800, true);
        seconds[guest.machine.name] = (Date.now() - start) / 1000;
      }),
    );
    process.stdout.write(`seconds from power-on to ready: ${JSON.stringify(seconds)}\n`);
  }, 60 * MINUTES);

  afterAll(() => guests.cleanUp(), 5 * MINUTES);

  test("cloud-init takes the user data and finishes without an error", async () => {
    for (const guest of [bastion, registry, master, agent, client]) {
      // cloud-init keeps the user data as it received it, compressed.
      const unpack = "zcat /var/lib/cloud/instance/user-data.txt > /run/user-data.yaml";
      const check = "cloud-init schema --config-file /run/user-data.yaml; code=$?; rm /run/user-data.yaml; exit $code";
      expect(await guest.out(`umask 077; ${unpack}; ${check}`)).toContain("Valid");
      expect(await guest.out("cloud-init status --wait")).toContain("status: done");
    }
  });

  test("each machine can tell what it did from its boot until it was ready", async () => {
    for (const guest of [bastion, registry, master, agent, client]) {
      const { machine } = guest;
      const timeline = readTimeline(machine.name, (await guest.sh(RECORDS_SCRIPT)).output);
      const services = cluster.services.filter((s) => s.machine === machine.name).map((s) => s.name);
      const spans = timeline?.spans ?? [];
      const of = (kind: string) => spans.filter((s) => s.kind === kind && s.to !== undefined).map((s) => s.what);
      expect(of("start"), machine.name).toEqual(expect.arrayContaining(services));
      expect(of("boot"), machine.name).toContain("cloud-final");
      expect(of("packages").join(), machine.name).toMatch(/^installing .*prometheus-node-exporter/);
      const lastPackage = Math.max(...spans.filter((s) => s.kind === "packages").map((s) => s.from));
      expect(timeline?.readyAfter ?? 0, machine.name).toBeGreaterThan(lastPackage);
    }
  });

  test("systemd finds no fault with any unit", async () => {
    for (const guest of [bastion, registry, master, agent, client]) {
      expect(await guest.out("systemd-analyze verify /etc/systemd/system/triplewide-*")).toBe("");
      expect(await guest.out("systemctl list-units --failed --no-legend")).toBe("");
    }
  });

  test("a job started on the client runs on the agent", async () => {
    const job = [
      "from pyspark.sql import SparkSession",
      "spark = SparkSession.builder.getOrCreate()",
      "rows = spark.range(1000).selectExpr('sum(id) as s').toPandas()",
      "print('sum', rows.s[0], spark.sparkContext.master)",
    ].join("\n");
    const output = await client.out(`docker exec triplewide-jupyter python3 -c "${job}"`);
    expect(output).toContain(`sum 499500 spark://${master.machine.address}:7077`);
  });

  test("every machine is measured, those of whom the client's own user data knows nothing too", async () => {
    const { prometheusPort } = cluster.config;
    const query = `promtool query instant http://127.0.0.1:${prometheusPort} 'up{optional=""} == 1'`;
    const wanted = ["bastion machine", "registry machine", "master-1 machine", "agent-1 machine", "client machine"];
    const found = await eventually(
      "all machines answer",
      60,
      async () => {
        const lines = (await client.out(`docker exec triplewide-prometheus ${query}`)).split("\n");
        const label = (line: string, name: string) => new RegExp(`${name}="([^"]*)"`).exec(line)?.[1];
        return lines.map((line) => `${label(line, "machine")} ${label(line, "job")}`);
      },
      (up) => wanted.every((one) => up.includes(one)),
    );
    expect(found).toContain("agent-1 spark-worker");
  });

  test("no secret is on a command line, in a unit, or in a file that others may read", async () => {
    for (const guest of [registry, master, agent, client]) {
      const values = [...guests.secrets.values()];
      const patterns = values.join("\n");
      // The search gets the secrets on its standard input, so that it does not find itself.
      const seen = await guest.sh(
        "cat >/root/p; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -F -f /root/p",
        patterns,
      );
      expect(seen).toEqual({ code: 1, output: "" });
      const readable = await guest.sh(
        // Docker keeps network namespaces as files that cannot be read.
        "find /etc /run /tmp /var/lib/cloud /var/lib/triplewide /var/log /usr/local /home -xdev -type f -perm /077 -size -5M -not -path '/run/docker/netns/*' -exec grep -lF -f /root/p {} +",
      );
      expect(readable.output.split("\n").filter((path) => path !== "")).toEqual([]);
      await guest.out("rm /root/p");
    }
  });

  test("files of secrets belong to the user of their service", async () => {
    const of = (path: string): string => `stat -c '%a %u' ${path}`;
    expect(await agent.out(of("/etc/triplewide/spark-worker/etc/spark/spark-defaults.conf"))).toBe("600 1000");
    expect(await agent.out(of("/etc/triplewide/spark-worker.env"))).toBe("600 0");
    expect(await agent.out(of("/root/.docker/config.json"))).toBe("600 0");
    for (const name of ["registry", "registry-reader"])
      expect(await registry.out(of(`/etc/triplewide/${name}.htpasswd`))).toBe("600 0");
    expect(await registry.out(of("/etc/triplewide/registry.key"))).toBe("600 0");
    expect(
      await client.out("docker exec triplewide-jupyter sh -c 'id -u; cat /run/secrets/jupyter-token | wc -c'"),
    ).toMatch(/^1000\n\d\d$/);
  });

  test("the registry asks for its password", async () => {
    const status = "curl -s -o /dev/null -w '%{http_code}'";
    const url = `${trusting()} https://${at()}/v2/`;
    expect(await agent.out(`${status} ${url}`)).toBe("401");
    expect(await agent.out(`${status} -K - ${url} <<<"user = triplewide:$(cat /etc/triplewide/pull-password)"`)).toBe(
      "200",
    );
  });

  test("the registry answers by HTTPS alone, with a certificate for its own address", async () => {
    const said = await agent.sh(`curl -s -w ' %{http_code}' http://${at()}/v2/`);
    expect(said.output).toBe("Client sent an HTTP request to an HTTPS server.\n 400");
    // Only clients that know the cluster's authority trust its certificate, and only for its own address.
    expect((await agent.sh(`curl -s https://${at()}/v2/`)).code).toBe(60);
    const other = `--connect-to ${master.machine.address}:5000:${at()} https://${master.machine.address}:5000/v2/`;
    expect((await agent.sh(`curl -s ${trusting()} ${other}`)).code).toBe(60);
  });

  test("nobody on the network reads the passwords of those who pull and push images", async () => {
    const sniff = [
      "import socket",
      "wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3)); wire.bind(('eth0', 0))",
      "out = open('/root/wire', 'wb', 0)",
      "while True: out.write(wire.recv(65535))",
    ].join("\n");
    const logins = Object.entries({ [REGISTRY_USER]: "registry", [PUSH_USER]: SECRET_NAMES.registryPush }).map(
      ([user, name]) => `${user}:${guests.secrets.get(name)}`,
    );
    const heard = async (guest: Guest, text: string) =>
      (await guest.sh("grep -c -a -F -f - /root/wire", text)).output !== "0";
    for (const guest of [registry, bastion]) {
      await guest.out(`systemd-run -q --unit=sniffer --property=Type=exec python3 -c ${shellQuote(sniff)}`);
      await guest.out("for i in $(seq 100); do [ -e /root/wire ] && exit 0; sleep 0.1; done; exit 1");
    }
    try {
      const image = await agent.out("docker inspect --format '{{.Config.Image}}' triplewide-spark-worker");
      await agent.out(`docker pull --quiet ${image}`);
      await guests.whilePushing(async () => {});
      // A login in plain text, as older releases sent it, shows that the listener would have heard one.
      await agent.out(`curl -s -u heard:in-plain http://${at()}/v2/`);
      await agent.out(`curl -s -m 5 -u heard:in-plain http://${bastion.machine.address}:22/ || true`);
      const plain = Buffer.from("heard:in-plain").toString("base64");
      for (const guest of [registry, bastion]) {
        await eventually(
          `${guest.machine.name} hears what is plain`,
          20,
          () => heard(guest, plain),
          (it) => it,
        );
        const secrets = logins.flatMap((login) => [login, Buffer.from(login).toString("base64")]);
        expect(await heard(guest, secrets.join("\n")), guest.machine.name).toBe(false);
      }
      // The port for pushing images is not reachable from other machines.
      for (const guest of [bastion, agent])
        expect((await guest.sh(`exec 3<>/dev/tcp/${registry.machine.address}/5001`)).output).toContain("refused");
    } finally {
      for (const guest of [registry, bastion]) await guest.sh("systemctl stop sniffer; rm -f /root/wire");
    }
  });

  test("a machine gives its password to no registry that another authority vouches for", async () => {
    const { certificate, key } = identityOf(cluster.config, registry.machine, "registry", ["server"]);
    const ofOthers = fill([certificate, key], () => "the secret of another stack").join("");
    const impostor = [
      "import http.server, ssl",
      "class Heard(http.server.BaseHTTPRequestHandler):",
      "  def do_GET(self): open('/root/heard', 'a').write(str(self.headers)); self.send_error(404)",
      "tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); tls.load_cert_chain('/root/impostor.pem')",
      `server = http.server.ThreadingHTTPServer(('${registry.machine.address}', 5000), Heard)`,
      "server.socket = tls.wrap_socket(server.socket, server_side=True); server.serve_forever()",
    ].join("\n");
    const image = await agent.out("docker inspect --format '{{.Config.Image}}' triplewide-spark-worker");
    const pull = `docker pull --quiet ${image}`;
    expect((await registry.sh("umask 077; cat >/root/impostor.pem; touch /root/heard", ofOthers)).code).toBe(0);
    const daemon = "/etc/docker/daemon.json";
    try {
      await registry.out("systemctl stop triplewide-registry-reader");
      await registry.out(`systemd-run -q --unit=impostor --property=Type=exec python3 -c ${shellQuote(impostor)}`);
      await registry.out(
        `for i in $(seq 100); do curl -sk https://${at()}/ >/dev/null && exit 0; sleep 0.1; done; exit 1`,
      );
      await registry.out("truncate -s 0 /root/heard");
      const refused = await agent.sh(pull);
      expect(refused.output).toContain("x509: certificate signed by unknown authority");
      expect(refused.code).not.toBe(0);
      expect(await registry.out("cat /root/heard")).toBe("");
    } finally {
      await registry.sh("systemctl stop impostor; systemctl start triplewide-registry-reader; rm /root/impostor.pem");
      await registry.ready(120);
    }
    await agent.out(pull);
    // A machine of an older release, which took this registry without a certificate, goes on pulling until it is replaced.
    const keep = `cp ${daemon} /root/daemon.json; mv ${trustFile()} /root/ca.crt`;
    const older = `sed -i '1s/{/{"insecure-registries": ["${at()}"],/' ${daemon}; systemctl reload docker`;
    try {
      await agent.out(keep);
      expect((await agent.sh(pull)).output).toContain("x509: certificate signed by unknown authority");
      await agent.out(older);
      await eventually(
        "the older machine pulls",
        30,
        () => agent.sh(pull),
        ({ code }) => code === 0,
      );
    } finally {
      await agent.sh(`mv /root/daemon.json ${daemon}; mv /root/ca.crt ${trustFile()}; systemctl reload docker`);
    }
  });

  test("who may pull images pushes none, changes none and deletes none", async () => {
    const request = (from: Guest, url: string, method: string, part: string) =>
      from.out(
        `curl -s -o /dev/null -w '%{http_code}' -X ${method} ${trusting()} -K - ${url}/v2/triplewide/client/${part} <<<"user = triplewide:${password}"`,
      );
    const password = await agent.out("cat /etc/triplewide/pull-password");
    const pulls = (method: string, part: string) => request(agent, `https://${at()}`, method, part);
    // At the port for pushing, the password for pulling is not accepted, not even on the registry's own machine.
    const pushes = (method: string, part: string) => request(registry, "http://127.0.0.1:5001", method, part);
    expect(await pulls("GET", "tags/list")).toBe("200");
    const digest = `sha256:${"0".repeat(64)}`;
    for (const [method, part] of [
      ["POST", "blobs/uploads/"],
      ["PUT", "manifests/latest"],
      ["DELETE", `manifests/${digest}`],
      ["DELETE", `blobs/${digest}`],
    ] as const) {
      expect(await pulls(method, part), `${method} ${part}`).toBe("405");
      expect(await pushes(method, part), `${method} ${part} to the other port`).toBe("401");
    }
    expect((await agent.sh("grep -r . /etc/triplewide/registry* /etc/triplewide/*push* 2>/dev/null")).output).toBe("");
  });

  test("the metadata address answers root, and nobody else", async () => {
    // A server at the metadata address, on the same network and reached by a route, as in a cloud.
    await guests.runAside(
      "metadata",
      ...["--cap-add", "NET_ADMIN", "--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "--user", "0", imageName("plain")],
      ...[
        "bash",
        "-c",
        "ip address add 169.254.169.254/32 dev eth0; ip address add fe80::a9fe:a9fe/64 dev eth0; exec python3 -m http.server --bind :: 80",
      ],
    );
    await agent.out("ip route add 169.254.169.254 dev eth0");
    const get = "curl -s -o /dev/null -w '%{http_code}' --max-time 5";
    for (const url of ["http://169.254.169.254/", "http://[fe80::a9fe:a9fe%25eth0]/"]) {
      const ask = `${get} '${url}'`;
      expect(await agent.out(`for i in 1 2 3 4 5 6 7 8 9 10; do ${ask} && exit; sleep 1; done`), url).toMatch(/200$/);
      expect(await agent.sh(ask, "", "1000"), url).toMatchObject({ code: 7, output: "000" });
      expect(await agent.sh(ask, "", "65534"), url).toMatchObject({ code: 7, output: "000" });
    }
    const inside = "timeout 5 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80'";
    expect((await agent.sh(`docker exec triplewide-spark-worker ${inside}`)).code).not.toBe(0);
    const image = await agent.out("docker inspect --format '{{.Config.Image}}' triplewide-spark-worker");
    // Behind Docker's own bridge even root is forwarded traffic. The first run shows that the bridge itself works.
    const bridged = `docker run --rm --user 0 --entrypoint bash ${image} -c`;
    expect((await agent.sh(`${bridged} "exec 3<>/dev/tcp/${master.machine.address}/7077"`)).code).toBe(0);
    expect((await agent.sh(`${bridged} "timeout 5 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80'"`)).code).not.toBe(0);
  });

  test.runIf(volumes)("a volume that is attached late is formatted, mounted and used", async () => {
    expect(await client.out("findmnt -no SOURCE,FSTYPE,LABEL /var/lib/triplewide/data")).toMatch(
      /^\/dev\/vdb\s+ext4\s+triplewide-data$/,
    );
    await client.out("docker exec triplewide-jupyter sh -c 'echo kept >/home/spark/work/note'");
    expect(await client.out("cat /var/lib/triplewide/data/jupyter/home/spark/work/note")).toBe("kept");
    expect(await client.out("ls /var/lib/triplewide/data/metastore/var/lib/spark/metastore")).toContain("seg0");
    expect(await registry.out("readlink /var/lib/registry")).toBe("/var/lib/triplewide/data/registry/var/lib/registry");
  });

  test.runIf(volumes)("no disk that holds anything is formatted", async () => {
    await client.out("systemctl stop triplewide-jupyter triplewide-metastore && umount /var/lib/triplewide/data");
    const content = {
      "a partition table": "printf 'label: gpt\\n,10M\\n' | sfdisk -q /dev/vdc",
      "a file system without our label": "mkfs.ext4 -q -L other /dev/vdc",
      "swap space": "mkswap -q /dev/vdc",
    };
    await client.out("mv /dev/vdb /dev/kept");
    await attach(client, guests.makeDisk("other", 2), "/dev/vdc");
    for (const [what, make] of Object.entries(content)) {
      await client.out(`wipefs -qa /dev/vdc; ${make}`);
      const before = await client.out("sha256sum </dev/vdc");
      const { code, output } = await client.sh("timeout 10 triplewide-volume");
      expect(`${code} ${output}`, what).toBe("124 waiting for a volume of 1 GB");
      expect(await client.out("sha256sum </dev/vdc"), what).toBe(before);
    }
    // A blank disk that is too small is not accepted as the volume, and neither is one of two blank disks.
    await client.out("wipefs -qa /dev/vdc; mv /dev/kept /dev/vdb");
    expect(await client.out("triplewide-volume")).toContain("/dev/vdb is mounted");
    await client.out("systemctl start triplewide-jupyter triplewide-metastore");
    await client.ready(300);
    expect(await client.out("docker exec triplewide-jupyter cat /home/spark/work/note")).toBe("kept");
  });

  test("a service that is killed comes back", async () => {
    const before = await agent.out("docker inspect --format '{{.Id}}' triplewide-spark-worker");
    await agent.out("kill -9 $(docker inspect --format '{{.State.Pid}}' triplewide-spark-worker)");
    await agent.out(
      "for i in $(seq 100); do docker inspect triplewide-spark-worker >/dev/null 2>&1 || exit 0; sleep 0.1; done; exit 1",
    );
    await agent.ready(300);
    expect(await agent.out("docker inspect --format '{{.Id}}' triplewide-spark-worker")).not.toBe(before);
    await master.ready(120, true);
  });

  test("a restart of the Docker daemon leaves services running", async () => {
    const state =
      "docker inspect --format '{{.Id}} {{.State.StartedAt}}' triplewide-spark-worker; systemctl show -p MainPID,NRestarts triplewide-spark-worker";
    const before = await agent.out(state);
    await agent.out("systemctl restart docker.service; sleep 5");
    expect(await agent.out(state)).toBe(before);
    expect(await agent.out("journalctl -u triplewide-spark-worker -n 5 -o cat")).toContain(
      "attached to triplewide-spark-worker again",
    );
    // The unit can still stop the container.
    await agent.out("systemctl restart triplewide-spark-worker");
    await agent.ready(300);
    expect(await agent.out("docker inspect --format '{{.Id}}' triplewide-spark-worker")).not.toBe(before.split(" ")[0]);
  });

  test("a service that gives up is shown with its last words, and is tried again later", async () => {
    const broken = [
      "mkdir -p /etc/systemd/system/triplewide-spark-worker.service.d",
      "printf '[Unit]\\nStartLimitBurst=2\\n[Service]\\nRestartSec=1\\nExecStartPre=/bin/sh -c \"echo no room left on this disk; exit 3\"\\n' >/etc/systemd/system/triplewide-spark-worker.service.d/broken.conf",
      "systemctl daemon-reload",
      "systemctl restart --no-block triplewide-spark-worker",
    ];
    try {
      await agent.out(broken.join("\n"));
      await agent.out(
        "for i in $(seq 60); do systemctl is-failed -q triplewide-spark-worker && exit 0; sleep 1; done; exit 1",
      );
      const { code, output } = await agent.sh("triplewide-ready");
      expect(output).toMatch(/^failed: triplewide-spark-worker \((exit-code|start-limit-hit)\)/);
      expect(output).toContain("no room left on this disk");
      expect(code).toBe(2);
      const waiting = await master.sh("triplewide-ready --cluster");
      expect(waiting).toEqual({ code: 1, output: "waiting: 1 Spark workers registered" });
    } finally {
      await agent.out("rm -r /etc/systemd/system/triplewide-spark-worker.service.d; systemctl daemon-reload");
    }
    await agent.out("triplewide-retry");
    await agent.ready(300);
    await master.ready(120, true);
  });

  test("systemd passes on exactly the arguments that were quoted for it", async () => {
    const args = [
      "%n",
      "100%",
      "$HOME",
      "\u0024{HOME}",
      'a "b"',
      "it's",
      "back\\slash",
      "tab\there",
      "two\nlines",
      ";",
      "",
      "é雪",
      "{{x}}",
      "*",
    ];
    const line = execLine(["/usr/bin/printf", "%s\\0", ...args]);
    const unit = `[Service]\nType=oneshot\nExecStart=${line}\nStandardOutput=truncate:/run/quoted\n`;
    await agent.sh("cat >/run/systemd/system/quoted.service", unit);
    await agent.out("systemctl daemon-reload; systemctl start quoted.service");
    expect((await agent.out("base64 -w0 /run/quoted")).trim()).toBe(
      Buffer.from(`${args.join("\0")}\0`).toString("base64"),
    );
  });

  test("after a reboot everything comes back by itself", async () => {
    await guests.docker("restart", guests.container("agent-1"));
    await agent.ready(600);
    await master.ready(300, true);
    expect(await agent.out("ip rule show | grep -c 169.254.169.254")).toBe("2");
    if (!notebooks) return;
    await guests.docker("restart", guests.container("client"));
    await attach(client, notebooks);
    await client.ready(600);
    expect(await client.out("docker exec triplewide-jupyter cat /home/spark/work/note")).toBe("kept");
  });

  test("machines show the SSH host key that the stack gave them, and whoever expects another runs nothing", async () => {
    const seed = guests.secrets.get(SECRET_NAMES.hostKeys) ?? "";
    for (const { machine } of [bastion, registry, master, agent, client]) {
      const shown = execFileSync("ssh-keyscan", [machine.address], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      });
      expect(shown).toBe(`${machine.address} ${hostKey(seed, machine.name).publicKey}\n`);
    }
    const user = cluster.config.sshUser;
    const known = new Ssh({ user, knownHosts: knownHosts(cluster, seed) });
    // The host key is known; the login is refused, because this test has none there.
    expect(await known.run(bastion.machine, "true")).toMatchObject({
      code: 255,
      denied: true,
      stderr: expect.stringContaining("Permission denied"),
    });
    const attacked = new Ssh({ user, knownHosts: knownHosts(cluster, "another stack") });
    expect(await attacked.run(bastion.machine, "true")).toMatchObject({ code: 255, refused: true });
    await Promise.all([known.close(), attacked.close()]);
  });

  test("people open the gateway at the bastion by HTTPS, and plain HTTP there sends them on", async () => {
    const { address } = bastion.machine;
    const authority = authorityOf(cluster);
    const ca =
      authority && fill(authority, ({ kind, name }) => (kind === "cloud" ? address : (guests.secrets.get(name) ?? "")));
    const ask = (url: string) =>
      new Promise<string>((resolve) => {
        const answered = (answer: IncomingMessage) => {
          const { statusCode, headers } = answer.resume();
          resolve(`${statusCode} ${headers.location ?? ""}`);
        };
        const request = url.startsWith("https") ? https.get(url, { ca }, answered) : http.get(url, answered);
        request.on("error", (error) => resolve(error.message));
      });
    expect(await ask(`https://${address}/health`)).toBe("200 ");
    expect(await ask(`https://${address}/jupyter/api/kernels`)).toBe("401 ");
    expect(await ask(`http://${address}/jupyter/lab`)).toBe(`308 https://${address}/jupyter/lab`);
    // HAProxy does not run as root, and its user can read no private key: taking it over gives neither.
    expect(await bastion.out("ps -o user= -C haproxy | sort -u")).toBe("haproxy");
    const keys = "grep -rls PRIVATE /etc/triplewide || true";
    expect(await bastion.out(`runuser -u haproxy -- bash -c '${keys}'`)).toBe("");
    // Root finds one key, by which the machine sends its logs: the search works.
    expect(await bastion.out(keys)).toBe("/etc/triplewide/log-sender.key");
  });

  test("the bastion lets nobody in by password and forwards connections", async () => {
    const settings = await bastion.out("sshd -T");
    expect(settings).toContain("passwordauthentication no");
    expect(settings).toContain("kbdinteractiveauthentication no");
    expect(settings).toContain("permitrootlogin no");
    expect(settings).toContain("allowtcpforwarding yes");
    expect(await bastion.out("getent hosts client")).toContain(client.machine.address);
    expect((await bastion.sh("command -v docker")).code).not.toBe(0);
  });
});
