import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { identityOf } from "../../cluster/authority.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import { LOG_FOLDER } from "../../cluster/services/logs/logs.ts";
import { fill } from "../../cluster/values.ts";
import { journalScript, keptJournal, keptMachinesScript, readJournal } from "../../render/logs.ts";
import { eventually } from "../containers/harness.ts";
import { SMALL_CLOUD } from "../fixtures/configs.ts";
import { canHaveVolumes, type Disk, type Guest, Guests, missing } from "./guests.ts";

/** The logs of all machines in one place (`monitoring`), including removed machines. */

const MINUTES = 60_000;
const reason = await missing();
const volumes = canHaveVolumes();

describe.skipIf(reason !== "")(`logs of machines${reason && ` (skipped: ${reason})`}`, () => {
  const whole = describeCluster(
    validate(
      {
        ...SMALL_CLOUD,
        architecture: "standalone",
        networkCidr: "10.204.0.0/16",
        dataVolumes: volumes,
        clientVolumeGb: 1,
        monitoring: true,
      },
      "env",
    ),
  );
  const guests = new Guests({ ...whole, services: whole.services.filter(({ name }) => name.startsWith("log-")) });
  const noImage = String;
  let client: Guest;
  let agent: Guest;
  let disk: Disk | undefined;

  async function bootClient(): Promise<Guest> {
    const guest = await guests.boot("client", "plain", guests.userData("client", noImage));
    disk ??= volumes ? guests.makeDisk("client", 1) : undefined;
    if (disk) await guest.out(`mknod /dev/vdb b ${disk.number}`);
    return guest;
  }

  const say = (guest: Guest, text: string) =>
    guest.out(`systemd-run --quiet --unit triplewide-said --description said --wait echo '${text}'`);

  /** What the client has kept of a machine's lines with a text, as `triplewide logs --stored` asks for it. */
  const kept = async (machine: string, text: string) =>
    readJournal(machine, await client.out(journalScript({ lines: 50, text }, keptJournal(machine))));

  const arrives = (machine: string, text: string) =>
    eventually(
      `"${text}" is at the client`,
      120,
      () => kept(machine, text),
      (found) => found.length > 0,
    );

  /** Sends a record to the client as machines do. @returns curl's result. */
  const send = (from: Guest, record: string, options: string) =>
    from.sh(
      `curl -sS -o /dev/null -w '%{http_code}' --cacert /etc/triplewide/authority.crt ${options} -H 'Transfer-Encoding: chunked' --data-binary @- https://${client.machine.address}:19532/upload`,
      record,
    );
  /** The result if the server closes the connection, before or after the record was sent. */
  const REFUSED = { output: expect.stringMatching(/^000curl: /) };
  const asItself = "--cert /etc/triplewide/log-sender.crt --key /etc/triplewide/log-sender.key";

  beforeAll(async () => {
    await guests.prepare();
    agent = await guests.boot("agent-1", "plain", guests.userData("agent-1", noImage));
    // The client does not exist yet. The agent becomes ready although nothing takes its logs.
    await agent.ready(900);
    await say(agent, "before there was a client");
    client = await bootClient();
    await client.ready(900);
  }, 30 * MINUTES);
  afterAll(() => guests.cleanUp(), 2 * MINUTES);

  test("what a machine says is at the client with its service, and what it said while that was away", async () => {
    const [line] = await arrives("agent-1", "before there was a client");
    expect(line?.from).toBe("agent-1 said");
    await client.out("systemctl stop triplewide-log-store");
    await say(agent, "while the store was away");
    expect(await agent.out("triplewide-ready")).toBe("ready: agent-1");
    await client.out("systemctl start triplewide-log-store");
    await arrives("agent-1", "while the store was away");
    await say(client, "of the client itself");
    await arrives("client", "of the client itself");
    expect(await client.out(keptMachinesScript())).toBe("agent-1\nclient");
  });

  test("the client says when it has heard each machine last, and who has nothing to say is heard all the same", async () => {
    const heard = async () => {
      const said = await client.out("curl -sS http://127.0.0.1:19532/metrics");
      return Number(/^logs_received_timestamp_seconds\{sender="agent-1"\} ([\d.]+)$/m.exec(said)?.[1] ?? 0);
    };
    await agent.out("systemctl stop triplewide-log-sender");
    const before = await heard();
    expect(before).toBeGreaterThan(1e9);
    await agent.out("systemctl start triplewide-log-sender");
    await eventually("agent-1 is heard", 120, heard, (now) => now > before);
    const all = `journalctl --file '${keptJournal("agent-1")}' --grep 'sends its logs' --lines 1 --output cat`;
    await eventually(
      "its line",
      120,
      () => client.sh(all),
      ({ output }) => output.includes("sends its logs"),
    );
    expect(await kept("agent-1", "sends its logs")).toEqual([]);
  });

  test("nobody sends logs without a certificate of the cluster's authority that is for that, nor in another machine's name", async () => {
    const record =
      "__REALTIME_TIMESTAMP=1795766400000000\n_BOOT_ID=0123456789abcdef0123456789abcdef\n_HOSTNAME=client\n_SYSTEMD_UNIT=triplewide-forged.service\nMESSAGE=forged\n\n";
    const identity = (service: string, use: "server" | "client", secretOf: (name: string) => string) => {
      const { certificate, key } = identityOf(whole.config, agent.machine, service, [use]);
      return fill([certificate, key], ({ name }) => secretOf(name)).join("");
    };
    const own = (name: string) => guests.secrets.get(name) ?? "";
    const refused: Record<string, string> = {
      "another authority's": identity("log-sender", "client", () => "the secret of another stack"),
      "a server's": identity("registry", "server", own),
    };
    for (const [what, pem] of Object.entries(refused)) {
      await agent.sh("umask 077; cat >/root/shown.pem", pem);
      expect(await send(agent, record, "--cert /root/shown.pem"), what).toMatchObject(REFUSED);
    }
    expect(await send(agent, record, "")).toMatchObject(REFUSED);
    expect(await kept("*", "forged")).toEqual([]);
    // A machine with a valid login can write records for itself alone.
    expect(await send(agent, record, asItself)).toEqual({ code: 0, output: "202" });
    await arrives("agent-1", "forged");
    expect(await kept("client", "forged")).toEqual([]);
  });

  test("half a record is not taken for the beginning of the next", async () => {
    const half = `printf 'POST /upload HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n10\\r\\nMESSAGE=half\\n_SYS\\r\\n' | openssl s_client -quiet -connect ${client.machine.address}:19532 -CAfile /etc/triplewide/authority.crt -cert /etc/triplewide/log-sender.crt -key /etc/triplewide/log-sender.key`;
    await agent.sh(`timeout 5 bash -c "${half.replaceAll('"', '\\"')}"`);
    await say(agent, "after half a record");
    const [line] = await arrives("agent-1", "after half a record");
    expect(line).toMatchObject({ from: "agent-1 said", text: "after half a record" });
    expect(await client.out("systemctl is-active triplewide-log-store")).toBe("active");
  });

  test("only root reads what is kept, and nothing listens that nobody asked for", async () => {
    expect(await client.out(`stat -Lc '%a %u' ${LOG_FOLDER}`)).toBe("700 1003");
    expect((await client.sh(`ls ${LOG_FOLDER}/`, "", "1000")).code).not.toBe(0);
    expect(await agent.out("stat -c '%a %u' /etc/triplewide/log-sender.key")).toBe("600 0");
    for (const [guest, ports] of [
      [client, "22 19532"],
      [agent, "22"],
    ] as const) {
      const listening = await guest.out("ss -Htln | awk '$4 !~ /^127/ {print $4}' | sed 's/.*://' | sort -un | xargs");
      expect(listening).toBe(ports);
    }
  });

  test("the oldest goes first where an eighth of the volume is taken", async () => {
    const make = (name: string, megabytes: number, when: string) =>
      client.out(
        `cd ${LOG_FOLDER}; fallocate -l ${megabytes}M ${name}; chown 1003 ${name}; touch -d '${when}' ${name}`,
      );
    await make("agent-9.journal", 20, "1 day ago");
    await make("agent-8@7.journal", 110, "2 days ago");
    const there = async () => (await client.out(`ls ${LOG_FOLDER}/`)).split("\n");
    const left = await eventually("the oldest is gone", 60, there, (names) => !names.includes("agent-8@7.journal"));
    expect(left).toContain("agent-9.journal");
    await client.out(`rm ${LOG_FOLDER}/agent-9.journal`);
  });

  test(
    "what a machine said is there when it is gone, and when the client is another one",
    async () => {
      await say(agent, "the last words");
      await arrives("agent-1", "the last words");
      await guests.docker("rm", "--force", guests.container("agent-1"));
      expect(await kept("agent-1", "the last words")).toMatchObject([{ from: "agent-1 said", text: "the last words" }]);
      if (!volumes) return;
      await client.out("systemctl poweroff --no-block");
      await guests.docker("wait", guests.container("client"));
      await guests.docker("rm", guests.container("client"));
      client = await bootClient();
      await client.ready(900);
      expect(await kept("agent-1", "the last words")).toHaveLength(1);
      await say(client, "of the new client");
      await arrives("client", "of the new client");
      expect(await kept("client", "of the client itself")).toHaveLength(1);
    },
    30 * MINUTES,
  );
});
