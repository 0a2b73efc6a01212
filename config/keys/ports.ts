import { section } from "../fields.ts";

const ports = section("Ports");

/** Keys of the section "Ports". */
export const portsKeys = {
  gatewayPort: ports.port(8090, { doc: "The gateway, on the client." }),
  acmePort: ports.port(8091, {
    doc: "Where the gateway answers an ACME server (`tls: acme`), to which port 80 of `domain` leads: on platform `docker` port 80 of `bindAddress` does.",
  }),
  jupyterPort: ports.port(8888, { doc: "JupyterLab on the client." }),
  sparkMasterPort: ports.port(7077, { doc: "Spark master." }),
  sparkMasterUiPort: ports.port(8080, { doc: "Spark master's web UI." }),
  sparkWorkerPort: ports.port(7078, { doc: "Spark worker." }),
  sparkWorkerUiPort: ports.port(8081, { doc: "Spark worker's web UI." }),
  sparkUiPort: ports.port(4040, { doc: "First of 32 ports for the web UIs of drivers on the client." }),
  driverPort: ports.port(7100, { doc: "First of 32 ports on which drivers take executors' connections." }),
  blockManagerPort: ports.port(7200, { doc: "First of 32 ports on which drivers and executors exchange blocks." }),
  shuffleServicePort: ports.port(7337, { doc: "External shuffle service (with `dynamicAllocation`)." }),
  historyServerPort: ports.port(18080, { doc: "Spark history server." }),
  metastorePort: ports.port(9083, { doc: "Catalogue of tables (Hive metastore), on the client's loopback interface." }),
  hubPort: ports.port(8000, {
    doc: "JupyterHub on the client (`notebooks: hub`): by HTTPS where `tls` says so. The ports after it are the hub's as well: two on the loopback interface, and with `tls` a third one, at which users' servers find the hub.",
  }),
  hubDriverPort: ports.port(20000, {
    doc: "First of the client's ports by which executors reach drivers of the hub's users on OpenStack: 64 for each user who ever was one (96 where Mesos starts executors), 128 users at most.",
  }),
  sparkConnectPort: ports.port(15002, { doc: "Spark Connect on the client (with `sparkConnect`)." }),
  sparkConnectUiPort: ports.port(15040, { doc: "Web UI of Spark Connect's driver on the client." }),
  mesosMasterPort: ports.port(5050, { doc: "Mesos master." }),
  mesosAgentPort: ports.port(5051, { doc: "Mesos agent." }),
  marathonPort: ports.port(8180, { doc: "Marathon (its own default, 8080, is the Spark master's UI)." }),
  zookeeperClientPort: ports.port(2181, { doc: "ZooKeeper, clients." }),
  zookeeperPeerPort: ports.port(2888, { doc: "ZooKeeper, followers to leader." }),
  zookeeperElectionPort: ports.port(3888, { doc: "ZooKeeper, leader election." }),
  namenodePort: ports.port(8020, { doc: "HDFS namenode." }),
  namenodeUiPort: ports.port(9870, { doc: "HDFS namenode's web UI." }),
  journalnodePort: ports.port(8485, { doc: "HDFS JournalNode." }),
  journalnodeUiPort: ports.port(8480, { doc: "HDFS JournalNode's web UI." }),
  zkfcPort: ports.port(8019, { doc: "HDFS failover controller." }),
  datanodePort: ports.port(9866, { doc: "HDFS datanode, data." }),
  datanodeIpcPort: ports.port(9867, { doc: "HDFS datanode, control." }),
  datanodeUiPort: ports.port(9864, { doc: "HDFS datanode's web UI." }),
  registryPort: ports.port(5000, {
    doc: "Image registry on the cluster, from which machines pull by HTTPS and to which nobody pushes.",
  }),
  registryPushPort: ports.port(5001, {
    doc: "Image registry on the cluster, to which `pulumi up` pushes by SSH: the port is on its machine's loopback interface, and while that lasts on this computer's.",
  }),
  prometheusPort: ports.port(9090, { doc: "Prometheus on the client (with `monitoring`)." }),
  metricsTranslatorPort: ports.port(9101, {
    doc: "What makes metrics of what other programs say, on the client's loopback interface (with `monitoring`).",
  }),
  nodeExporterPort: ports.port(9100, { doc: "Metrics of a machine (with `monitoring`)." }),
  logStorePort: ports.port(19532, {
    doc: "Where machines send their logs, by HTTPS with a certificate of their own, on the client (with `monitoring`, on OpenStack).",
  }),
  executorHttpPort: ports.port(8070, { doc: "HTTP server of the Spark tarball on the client (`vanilla`)." }),
} as const;
