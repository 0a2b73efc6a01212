import { type Context, endpoints } from "../../context.ts";
import { runsHdfs, scrapers } from "../../features.ts";
import { allOf, anyOf, healthOf, http, type Probe, tcp } from "../../probe.ts";
import type { File, Gate, Machine, Metrics, Peer, Port, Service } from "../../types.ts";
import { text } from "../../values.ts";
import { SPARK_TASK_USER, taskUser } from "../mesos/principals.ts";
import { SPARK_UID } from "../spark/spark.ts";
import { HDFS_ZNODE, loginOf } from "../zookeeper/znodes.ts";

/** Folder of `core-site.xml` and `hdfs-site.xml`. */
export const HADOOP_CONF_DIR = "/etc/hadoop";
const DATA = "/var/lib/hdfs";
/** User of the daemons, who may do everything in HDFS, and is nobody who runs jobs. */
const HDFS_UID = 1010;
/** Who is meant by that user's name. */
const HDFS_USER = "hdfs";
/** How the failover controllers log in to ZooKeeper. */
const ZK_LOGIN = `${HADOOP_CONF_DIR}/zookeeper-login`;
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

/** Whether Mesos' agents fetch the Spark tarball from HDFS. */
export const feedsExecutors = (ctx: Context): boolean =>
  ctx.architecture.fetchesSpark && ctx.config.executorSource === "hdfs";

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
    // Read by the failover controllers, which alone have that file.
    core["ha.zookeeper.auth"] = `@${ZK_LOGIN}`;
    core["ha.zookeeper.acl"] = "auth::rwcda";
  }
  const hdfs = { ...clientProperties(ctx), ...(runsHdfs(c) ? serverProperties(ctx) : {}), ...own };
  return [
    { path: `${HADOOP_CONF_DIR}/core-site.xml`, content: { format: "hadoop-xml", properties: core }, mode: "0644" },
    { path: `${HADOOP_CONF_DIR}/hdfs-site.xml`, content: { format: "hadoop-xml", properties: hdfs }, mode: "0644" },
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
    // Datanodes serve whom the namenode has given a token for the block: its permissions hold there as well.
    "dfs.block.access.token.enable": "true",
    // What changes something by HTTP has a header that no web page can send to another site: asked of every program that names
    // itself, as all browsers do.
    "dfs.webhdfs.rest-csrf.enabled": "true",
    "dfs.webhdfs.rest-csrf.browser-useragents-regex": ".*",
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

/** What daemons read besides, and no program that uses HDFS. */
const daemonProperties = ({ config }: Context): Record<string, string> =>
  config.monitoring ? { "hadoop.prometheus.endpoint.enabled": "true" } : {};

/** Where daemons show their metrics. */
const METRICS: readonly Metrics[] = [{ path: "/prom" }];

function daemon(ctx: Context, machine: Machine, name: string, ports: Port[], probe: Probe): Service {
  return {
    name,
    machine: machine.name,
    runtime: "docker",
    image: "hdfs",
    command: ["hdfs", name],
    env: { HADOOP_CONF_DIR, HADOOP_HEAPSIZE_MAX: "512m" },
    files: hadoopConf(ctx, daemonProperties(ctx)),
    ports,
    health: healthOf(probe),
    uid: HDFS_UID,
    dirs: [{ path: DATA, lasts: "data", formerly: SPARK_UID }],
    memoryMiB: 1024,
    after: [],
  };
}

/** A namenode: the only one, or one of an active and a standby. */
export function namenode(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  const ports: Port[] = [
    { name: "rpc", key: "namenodePort", port: c.namenodePort, from: ["self", "datanode", "agent", "client"] },
    {
      name: "ui",
      key: "namenodeUiPort",
      port: c.namenodeUiPort,
      from: ["self", "client", "bastion", ...fetchers(ctx)],
      link: "http",
      page: {
        title: "HDFS",
        kind: "hdfs",
        path: "hdfs",
        readOnly: true,
        // fsck deletes files whose blocks are lost, for whoever says that they are the superuser.
        acts: ["fsck", "logLevel"],
        leader: { path: "/jmx?qry=Hadoop:service=NameNode,name=NameNodeStatus", match: '"State" : "active"' },
      },
      metrics: METRICS,
    },
  ];
  // Answers as soon as it serves; safe mode is the group's gate, not a reason to restart it.
  const probe = http(
    machine.address,
    c.namenodeUiPort,
    "/jmx?qry=Hadoop:service=NameNode,name=NameNodeStatus",
    '"State" : "(active|standby)"',
  );
  const service = daemon(ctx, machine, "namenode", ports, probe);
  return { ...service, env: { ...service.env, HDFS_FOLDERS: folders(ctx) }, after: ["journalnode"] };
}

/** Folders of the file system, each with its owner and mode: a home for everyone who runs jobs, and places that everybody shares. */
function folders(ctx: Context): string {
  const homes = [
    ...[SPARK_TASK_USER, ...ctx.config.mesosFrameworks.map(taskUser)].map((name) => `/user/${name} ${name} 750`),
    // Users of the hub, whose executors run as one user of their machines, and as each of them in HDFS.
    ...Object.keys(ctx.config.users)
      .sort()
      .map((name) => `/user/${name} ${name} 700`),
  ];
  // Everybody may make folders at the top and in /tmp, and nobody may touch another's there.
  return [`/ ${HDFS_USER} 1777`, `/tmp ${HDFS_USER} 1777`, `/user ${HDFS_USER} 755`, ...homes].join(",");
}

/** Decides which of two namenodes is the active one. */
export function zkfc(ctx: Context, machine: Machine): Service {
  const { zkfcPort } = ctx.config;
  const ports: Port[] = [{ name: "rpc", key: "zkfcPort", port: zkfcPort, from: ["self"] }];
  return {
    ...daemon(ctx, machine, "zkfc", ports, tcp(machine.address, zkfcPort)),
    files: [
      ...hadoopConf(ctx),
      { path: ZK_LOGIN, content: { format: "text", text: text`digest:${loginOf(HDFS_ZNODE)}` }, mode: "0600" },
    ],
    after: ["zookeeper", "namenode"],
    dirs: [],
  };
}

/** Keeps the edit log that both namenodes share. */
export function journalnode(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  return daemon(
    ctx,
    machine,
    "journalnode",
    [
      { name: "rpc", key: "journalnodePort", port: c.journalnodePort, from: ["self"] },
      {
        name: "http",
        key: "journalnodeUiPort",
        port: c.journalnodeUiPort,
        from: ["self", ...scrapers(c)],
        metrics: METRICS,
      },
    ],
    tcp(machine.address, c.journalnodePort),
  );
}

/** Keeps blocks of files. */
export function datanode(ctx: Context, machine: Machine): Service {
  const c = ctx.config;
  const service = daemon(
    ctx,
    machine,
    "datanode",
    [
      { name: "data", key: "datanodePort", port: c.datanodePort, from: ["self", "master", "agent", "client"] },
      { name: "ipc", key: "datanodeIpcPort", port: c.datanodeIpcPort, from: ["self", "master", "agent", "client"] },
      {
        name: "ui",
        key: "datanodeUiPort",
        port: c.datanodeUiPort,
        from: ["client", "bastion", ...fetchers(ctx)],
        link: "http",
        metrics: METRICS,
      },
    ],
    http(
      machine.address,
      c.datanodeUiPort,
      "/jmx?qry=Hadoop:service=DataNode,name=DataNodeInfo",
      // CONNECTING until it has registered, RUNNING from then on.
      "ActorState[^,]*RUNNING",
    ),
  );
  // Namenodes send HTTP readers on to a datanode by this name, which otherwise would be one that agents, or those of another
  // cluster that uses this HDFS, do not know.
  const own = { ...daemonProperties(ctx), "dfs.datanode.hostname": machine.address };
  return { ...service, files: hadoopConf(ctx, own) };
}

/** Mesos' fetcher looks for `bin/hadoop` here. */
export const FETCHER_HOME = "/etc/mesos/hadoop";

/**
 * What Mesos' fetcher takes for a Hadoop client: `hadoop version` and `hadoop fs -copyToLocal` are all that it calls. Agents
 * have no Hadoop, and this needs none: HDFS serves files by HTTP as well.
 */
export function fetcherClient(ctx: Context): File {
  const addresses = namenodes(ctx).map((host) => `${host}:${ctx.config.namenodeUiPort}`);
  const content = ctx
    .script("cluster/services/hdfs/fetcher-client.py")
    .replace("NAMENODES = []", () => `NAMENODES = ${JSON.stringify(addresses)}`);
  return { path: `${FETCHER_HOME}/bin/hadoop`, content: { format: "text", text: content }, mode: "0755" };
}

/** Probe that succeeds where HDFS has a file of that path. */
export function fileInHdfs(ctx: Context, path: string): Probe {
  const status = `/webhdfs/v1${path}?op=GETFILESTATUS`;
  return anyOf(namenodes(ctx).map((host) => http(host, ctx.config.namenodeUiPort, status, '"type":"FILE"')));
}

/** Out of safe mode, with every datanode live and a namenode that takes writes. */
export function hdfsReady(ctx: Context): Gate {
  const c = ctx.config;
  const probes = ctx.addresses("namenode").map((host) => {
    const query = (bean: string) => `/jmx?qry=Hadoop:service=NameNode,name=${bean}`;
    const live = http(
      host,
      c.namenodeUiPort,
      query("FSNamesystemState"),
      `"NumLiveDataNodes" : ${c.datanodeCount}(,|$)`,
    );
    const safe = http(host, c.namenodeUiPort, query("NameNodeInfo"), '"Safemode" : ""');
    // Standbys count datanodes and leave safe mode as well: two of them are no file system yet.
    const active = http(host, c.namenodeUiPort, query("NameNodeStatus"), '"State" : "active"');
    const home = http(
      host,
      c.namenodeUiPort,
      `/webhdfs/v1/user/${SPARK_TASK_USER}?op=GETFILESTATUS`,
      `"owner":"${SPARK_TASK_USER}"`,
    );
    return allOf([live, safe, active, home]);
  });
  return {
    group: "master",
    what: `HDFS out of safe mode with ${c.datanodeCount} datanodes`,
    probe: anyOf(probes),
  };
}
