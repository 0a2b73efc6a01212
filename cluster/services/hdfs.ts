import { runsHdfs } from "../../config/ports.ts";
import { type Context, endpoints } from "../context.ts";
import { anyOf, healthOf, httpProbe, tcpProbe } from "../probe.ts";
import type { File, Gate, Machine, Peer, Port, Service } from "../types.ts";

export const HADOOP_CONF_DIR = "/etc/hadoop";
const DATA = "/var/lib/hdfs";
/** Name of the pair of namenodes where there are two: clients know it instead of a host. */
const NAMESERVICE = "cluster";
/** Copies of a block. Three is HDFS' own default; fewer where there are fewer datanodes. */
const REPLICATION = 3;

/** Where clients find the namenodes: the cluster's own, or those of an HDFS that was there. */
function namenodes(ctx: Context): string[] {
  return runsHdfs(ctx.config) ? ctx.addresses("namenode") : ctx.config.existingNamenodes;
}

/** The file system that Spark and `hdfs` use when a path names none. */
export function defaultFs(ctx: Context): string {
  const hosts = namenodes(ctx);
  return hosts.length > 1 ? `hdfs://${NAMESERVICE}` : `hdfs://${endpoints(hosts, ctx.config.namenodePort)}`;
}

/** Whether Mesos' fetcher gets Spark out of HDFS. */
export const feedsExecutors = (ctx: Context): boolean =>
  ctx.config.architecture === "vanilla" && ctx.config.executorSource === "hdfs";

/** Agents ask HDFS' HTTP ports only where their fetcher does. */
const fetchers = (ctx: Context): Peer[] => (feedsExecutors(ctx) ? ["agent"] : []);

/**
 * `core-site.xml` and `hdfs-site.xml`: the same on every machine that serves or reads HDFS.
 *
 * @param own Further properties, of one machine alone.
 */
export function hadoopConf(ctx: Context, own: Readonly<Record<string, string>> = {}): File[] {
  const c = ctx.config;
  const core: Record<string, string> = { "fs.defaultFS": defaultFs(ctx), "hadoop.tmp.dir": "/tmp/hadoop" };
  if (runsHdfs(c) && namenodes(ctx).length > 1) {
    core["ha.zookeeper.quorum"] = endpoints(ctx.addresses("zookeeper"), c.zookeeperClientPort);
  }
  const hdfs = { ...clientProperties(ctx), ...(runsHdfs(c) ? serverProperties(ctx) : {}), ...own };
  return [
    { path: `${HADOOP_CONF_DIR}/core-site.xml`, content: xml(core), mode: "0644" },
    { path: `${HADOOP_CONF_DIR}/hdfs-site.xml`, content: xml(hdfs), mode: "0644" },
  ];
}

/** What programs need that read and write. */
function clientProperties(ctx: Context): Record<string, string> {
  const c = ctx.config;
  const hosts = namenodes(ctx);
  const hdfs: Record<string, string> = { "dfs.client.use.datanode.hostname": "false" };
  if (hosts.length < 2) {
    hdfs["dfs.namenode.rpc-address"] = endpoints(hosts, c.namenodePort);
    hdfs["dfs.namenode.http-address"] = endpoints(hosts, c.namenodeUiPort);
    return hdfs;
  }
  hdfs["dfs.nameservices"] = NAMESERVICE;
  hdfs[`dfs.ha.namenodes.${NAMESERVICE}`] = hosts.map((_, i) => `nn${i + 1}`).join(",");
  for (const [i, host] of hosts.entries()) {
    hdfs[`dfs.namenode.rpc-address.${NAMESERVICE}.nn${i + 1}`] = `${host}:${c.namenodePort}`;
    hdfs[`dfs.namenode.http-address.${NAMESERVICE}.nn${i + 1}`] = `${host}:${c.namenodeUiPort}`;
  }
  hdfs[`dfs.client.failover.proxy.provider.${NAMESERVICE}`] =
    "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider";
  return hdfs;
}

/** What the cluster's own HDFS is like. */
function serverProperties(ctx: Context): Record<string, string> {
  const c = ctx.config;
  const hdfs: Record<string, string> = {
    "dfs.replication": String(Math.min(REPLICATION, c.datanodeCount)),
    "dfs.namenode.name.dir": `file://${DATA}/name`,
    "dfs.datanode.data.dir": `file://${DATA}/data`,
    "dfs.datanode.address": `0.0.0.0:${c.datanodePort}`,
    "dfs.datanode.ipc.address": `0.0.0.0:${c.datanodeIpcPort}`,
    "dfs.datanode.http.address": `0.0.0.0:${c.datanodeUiPort}`,
    // Addresses, not names: no machine of this cluster depends on a DNS server.
    "dfs.namenode.datanode.registration.ip-hostname-check": "false",
    // A dead datanode is noticed after 2 x recheck + 10 x heartbeat = 50 s instead of ten minutes.
    "dfs.namenode.heartbeat.recheck-interval": "10000",
    "dfs.permissions.superusergroup": "hadoop",
  };
  if (namenodes(ctx).length < 2) return hdfs;
  const journal = endpoints(ctx.addresses("journalnode"), c.journalnodePort).replaceAll(",", ";");
  hdfs["dfs.namenode.shared.edits.dir"] = `qjournal://${journal}/${NAMESERVICE}`;
  hdfs["dfs.journalnode.edits.dir"] = `${DATA}/journal`;
  hdfs["dfs.journalnode.rpc-address"] = `0.0.0.0:${c.journalnodePort}`;
  hdfs["dfs.journalnode.http-address"] = `0.0.0.0:${c.journalnodeUiPort}`;
  hdfs["dfs.ha.automatic-failover.enabled"] = "true";
  hdfs["dfs.ha.zkfc.port"] = String(c.zkfcPort);
  // The journal lets one writer in at a time, so a namenode that was cut off cannot write: no remote shell is needed.
  hdfs["dfs.ha.fencing.methods"] = "shell(/bin/true)";
  return hdfs;
}

function xml(properties: Record<string, string>): string {
  const lines = Object.keys(properties)
    .sort()
    .map((name) => `  <property><name>${name}</name><value>${properties[name]}</value></property>\n`);
  return `<?xml version="1.0"?>\n<configuration>\n${lines.join("")}</configuration>\n`;
}

function daemon(ctx: Context, machine: Machine, name: string, ports: Port[], probe: string[]): Service {
  return {
    name,
    machine: machine.name,
    runtime: "docker",
    image: "hdfs",
    command: ["hdfs", name],
    env: { HADOOP_CONF_DIR, HADOOP_HEAPSIZE_MAX: "512m" },
    files: hadoopConf(ctx),
    ports,
    health: healthOf(probe),
    uid: 1000,
    dirs: [{ path: DATA, keep: true }],
    memoryMiB: 1024,
    after: [],
  };
}

export function namenode(ctx: Context, machine: Machine): Service[] {
  const c = ctx.config;
  const ports: Port[] = [
    { name: "rpc", port: c.namenodePort, from: ["self", "datanode", "agent", "client"] },
    { name: "ui", port: c.namenodeUiPort, from: ["self", "client", "bastion", ...fetchers(ctx)], link: "http" },
  ];
  // Answers as soon as it serves; safe mode is the group's gate, not a reason to restart it.
  const probe = httpProbe(
    machine.address,
    c.namenodeUiPort,
    "/jmx?qry=Hadoop:service=NameNode,name=NameNodeStatus",
    '"State" : "(active|standby)"',
  );
  const service = daemon(ctx, machine, "namenode", ports, probe);
  if (ctx.addresses("namenode").length === 1) return [service];
  const zkfc = daemon(
    ctx,
    machine,
    "zkfc",
    [{ name: "rpc", port: c.zkfcPort, from: ["self"] }],
    tcpProbe(machine.address, c.zkfcPort),
  );
  service.after = ["journalnode"];
  zkfc.after = ["zookeeper", "namenode"].filter((name) => name !== "zookeeper" || machine.roles.includes("zookeeper"));
  zkfc.dirs = [];
  return [service, zkfc];
}

export function journalnode(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  return daemon(
    ctx,
    machine,
    "journalnode",
    [
      { name: "rpc", port: c.journalnodePort, from: ["self"] },
      { name: "http", port: c.journalnodeUiPort, from: ["self"] },
    ],
    tcpProbe(machine.address, c.journalnodePort),
  );
}

export function datanode(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  const service = daemon(
    ctx,
    machine,
    "datanode",
    [
      { name: "data", port: c.datanodePort, from: ["self", "master", "agent", "client"] },
      { name: "ipc", port: c.datanodeIpcPort, from: ["self", "master", "agent", "client"] },
      { name: "ui", port: c.datanodeUiPort, from: ["client", "bastion", ...fetchers(ctx)], link: "http" },
    ],
    httpProbe(
      machine.address,
      c.datanodeUiPort,
      "/jmx?qry=Hadoop:service=DataNode,name=DataNodeInfo",
      // CONNECTING until it has registered, RUNNING from then on.
      "ActorState[^,]*RUNNING",
    ),
  );
  // Namenodes send HTTP readers on to a datanode by this name, which otherwise would be one that agents, or those of another
  // cluster that uses this HDFS, do not know.
  return { ...service, files: hadoopConf(ctx, { "dfs.datanode.hostname": machine.address }) };
}

/** Mesos' fetcher looks for `bin/hadoop` here. */
export const FETCHER_HOME = "/etc/mesos/hadoop";

/**
 * What Mesos' fetcher takes for a Hadoop client: `hadoop version` and `hadoop fs -copyToLocal` are all that it calls. Agents
 * have no Hadoop, and this needs none: HDFS serves files by HTTP as well.
 */
export function fetcherClient(ctx: Context): File {
  const addresses = namenodes(ctx).map((host) => `${host}:${ctx.config.namenodeUiPort}`);
  const content = `#!/usr/bin/python3
"""Mesos' fetcher calls this: hadoop version, hadoop fs -copyToLocal hdfs://... TARGET."""
import shutil
import sys
from urllib.parse import quote, urlparse
from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

NAMENODES = ${JSON.stringify(addresses)}


class Redirects(HTTPRedirectHandler):
    """Remembers the last one: errors do not name the host that they are about."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        self.to = f", which sent on to {urlparse(newurl).netloc}"
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def copy_to_local(source, target):
    path = quote(urlparse(source).path)
    redirects = Redirects()
    # The namenode is inside of the cluster, whatever proxy there is to the outside.
    opener = build_opener(ProxyHandler({}), redirects)
    failures = []
    for namenode in NAMENODES:
        redirects.to = ""
        # A standby refuses; the active one sends on to a datanode.
        try:
            with opener.open(f"http://{namenode}/webhdfs/v1{path}?op=OPEN", timeout=60) as answer, open(target, "wb") as file:
                shutil.copyfileobj(answer, file)
            return
        except OSError as error:
            failures.append(f"{namenode}{redirects.to}: {error}")
    sys.exit(f"{source} cannot be read: " + "; ".join(failures))


if sys.argv[1:] == ["version"]:
    print("Hadoop: the part of it that Mesos' fetcher needs")
elif sys.argv[1:3] == ["fs", "-copyToLocal"] and len(sys.argv) == 5:
    copy_to_local(*sys.argv[3:])
else:
    sys.exit("usage: hadoop version | hadoop fs -copyToLocal SOURCE TARGET")
`;
  return { path: `${FETCHER_HOME}/bin/hadoop`, content, mode: "0755" };
}

/** HDFS has a file by that path. */
export function fileInHdfs(ctx: Context, path: string): string[] {
  const status = `/webhdfs/v1${path}?op=GETFILESTATUS`;
  return anyOf(namenodes(ctx).map((host) => httpProbe(host, ctx.config.namenodeUiPort, status, '"type":"FILE"')));
}

/** Out of safe mode, with every datanode live and a namenode that takes writes. */
export function hdfsReady(ctx: Context): Gate {
  const c = ctx.config;
  const probes = ctx.addresses("namenode").map((host) => {
    const query = (bean: string) => `/jmx?qry=Hadoop:service=NameNode,name=${bean}`;
    const live = httpProbe(
      host,
      c.namenodeUiPort,
      query("FSNamesystemState"),
      `"NumLiveDataNodes" : ${c.datanodeCount}(,|$)`,
    );
    const safe = httpProbe(host, c.namenodeUiPort, query("NameNodeInfo"), '"Safemode" : ""');
    // Standbys count datanodes and leave safe mode as well: two of them are no file system yet.
    const active = httpProbe(host, c.namenodeUiPort, query("NameNodeStatus"), '"State" : "active"');
    return ["bash", "-c", `(${live[2]}) && (${safe[2]}) && (${active[2]})`];
  });
  return {
    group: "master",
    what: `HDFS out of safe mode with ${c.datanodeCount} datanodes`,
    command: ["bash", "-c", probes.map((p) => `(${p[2]}) 2>/dev/null`).join(" || ")],
  };
}
