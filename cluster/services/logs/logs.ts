import type { Config } from "../../../config/schema.ts";
import { identityOf, serviceAuthority } from "../../authority.ts";
import { type Context, scriptFile } from "../../context.ts";
import { platformOf } from "../../platforms.ts";
import { allOf, healthOf, tcp } from "../../probe.ts";
import type { Cluster, File, Group, Machine, Metrics, Service } from "../../types.ts";
import type { Value } from "../../values.ts";
import { CERTIFICATE } from "../prometheus/targets.ts";

/**
 * One place for the logs of all machines, which outlives them: each sends its journal to the client, as it is written, and catches up when
 * the client was away. Both show certificates of the cluster's authority.
 */

/** User of the store: nobody else's, because the journals of all machines are no user's program's to read. */
const LOGS_UID = 1003;
/** Where the journals are: `MACHINE.journal`, and older ones as `MACHINE@….journal`. Root and its user alone may read them. */
export const LOG_FOLDER = "/var/lib/cluster-logs";
const CONF = "/etc/triplewide";
const AUTHORITY = `${CONF}/authority.crt`;
const SCRIPT = "/usr/local/lib/triplewide/log-store.py";
const PACKAGE = "systemd-journal-remote";
/** What that package may start by itself. */
const MASKED = ["systemd-journal-gatewayd.socket", "systemd-journal-remote.socket", "systemd-journal-upload.service"];

/** Whether machines send their logs to one place. On this machine's Docker all logs are in one place. */
export const storesLogs = (c: Pick<Config, "monitoring" | "platform">): boolean =>
  c.monitoring && platformOf(c).servers;

/** The machine that keeps the logs of all; `undefined` where none does. */
export function logKeeper({ machines, services }: Pick<Cluster, "machines" | "services">): Machine | undefined {
  const store = services.find(({ dirs }) => dirs.some(({ path }) => path === LOG_FOLDER));
  return machines.find(({ name }) => name === store?.machine);
}

const SENDERS: readonly Group[] = ["bastion", "registry", "master", "zookeeper", "agent", "datanode"];

/** When the store has heard each machine last: at its port too, on the loopback interface, where nobody needs a certificate. */
const HEARD: Metrics = { path: "/metrics", loopback: true };

/** What keeps the journals, on the client. */
export function logStore(ctx: Context, machine: Machine): Service {
  const { clientVolumeGb, logStorePort: port } = ctx.config;
  const own = identityFiles(ctx, machine, "log-store", "server");
  const settings = `${CONF}/log-store.json`;
  const value = {
    folder: LOG_FOLDER,
    bytes: clientVolumeGb * 128 * 1024 ** 2,
    address: machine.address,
    port,
    authority: AUTHORITY,
    certificate: own.certificate,
    key: own.key,
  };
  return {
    name: "log-store",
    machine: machine.name,
    runtime: "systemd",
    image: undefined,
    command: ["/usr/bin/python3", "-I", SCRIPT, settings],
    env: {},
    files: [
      scriptFile(ctx, SCRIPT, "cluster/services/logs/log-store.py"),
      { path: settings, content: { format: "json", value }, mode: "0644" },
      ...own.files,
    ],
    ports: [{ name: "https", key: "logStorePort", port, from: [...SENDERS], metrics: [CERTIFICATE, HEARD] }],
    health: healthOf(tcp(machine.address, port)),
    uid: LOGS_UID,
    dirs: [{ path: LOG_FOLDER, lasts: "data" }],
    memoryMiB: 512,
    after: [],
    software: { packages: [PACKAGE, "python3"], maskedUnits: MASKED },
  };
}

/**
 * Writes a line to the journal every five minutes: a machine from which none arrives has lost its connection to the store. The line belongs
 * to a unit that is no service of the cluster, so people do not see it (`journalScript`).
 */
const SAYS_SOMETHING =
  'while :; do systemd-run --quiet --collect --unit log-heartbeat --description "sends its logs" true; sleep 300; done';

/** What sends a machine's journal there. */
export function logSender(ctx: Context, machine: Machine): Service {
  const [store = ""] = ctx.addresses("client");
  const own = identityFiles(ctx, machine, "log-sender", "client");
  const state = "/var/lib/triplewide-log-sender";
  const upload = [
    "/usr/lib/systemd/systemd-journal-upload",
    `--url=https://${store}:${ctx.config.logStorePort}`,
    `--key=${own.key}`,
    `--cert=${own.certificate}`,
    `--trust=${AUTHORITY}`,
    `--save-state=${state}/sent`,
  ];
  return {
    name: "log-sender",
    machine: machine.name,
    runtime: "systemd",
    image: undefined,
    // It ends where nobody takes what it sends. That is no fault of its machine, which is ready all the same.
    command: ["/usr/bin/bash", "-c", `${SAYS_SOMETHING} & until "$@"; do sleep 15; done`, "log-sender", ...upload],
    env: {},
    files: own.files,
    ports: [],
    health: healthOf(allOf([])),
    // Journals are root's.
    uid: 0,
    dirs: [{ path: state, lasts: "machine" }],
    memoryMiB: 128,
    after: ["log-store"],
    software: { packages: [PACKAGE], maskedUnits: MASKED },
  };
}

/** Certificate and key of a service, and whom it trusts. */
function identityFiles({ config }: Context, machine: Machine, service: string, use: "server" | "client") {
  const { certificate, key } = identityOf(config, machine, service, [use]);
  const file = (path: string, text: Value, mode: string): File => ({ path, content: { format: "text", text }, mode });
  const paths = { certificate: `${CONF}/${service}.crt`, key: `${CONF}/${service}.key` };
  return {
    ...paths,
    files: [
      file(paths.certificate, certificate, "0644"),
      file(paths.key, key, "0600"),
      file(AUTHORITY, serviceAuthority(config), "0644"),
    ],
  };
}
