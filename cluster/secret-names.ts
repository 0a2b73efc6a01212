/** Names of the cluster's secrets. Those that the config gives have theirs in `config/secrets.ts`. */

export const SECRET_NAMES = {
  /** All keys and certificates of the cluster's own authority are made of it. */
  serviceAuthority: "service-authority",
  /** The authority of the gateway's certificate is made of it. */
  gatewayAuthority: "gateway-authority",
  /** By which people log in at the gateway. */
  gatewayPassword: "gateway-password",
  /** Signs the gateway's logins. */
  gatewaySession: "gateway-session",
  /** By which people, and programs, log in to JupyterLab. */
  jupyterToken: "jupyter-token",
  /** By which clients of Spark Connect log in. */
  connectToken: "spark-connect-token",
  /** What Spark's processes prove to each other that they know. */
  spark: "spark-auth",
  /** Marathon's HTTP interface. */
  marathon: "marathon-http",
  /** The HTTP interface of Mesos' agents. */
  mesosAgentHttp: "mesos-agent-http",
  /** ZooKeeper's own superuser. */
  zookeeperSuper: "zookeeper-super",
  /** By which machines pull from the cluster's own registry. */
  registryPull: "registry",
  /** By which `pulumi up` pushes to the cluster's own registry. */
  registryPush: "registry-push",
  /** All SSH host keys are made of it. */
  hostKeys: "ssh-host-keys",
} as const;

/** By which a principal logs in to Mesos. */
export const mesosSecret = (principal: string): string => `mesos-${principal}`;

/** By which the owner of a part of ZooKeeper's tree logs in. */
export const zookeeperSecret = (owner: string): string => `zookeeper-${owner}`;

/** By which a user of the hub logs in first. */
export const firstPassword = (user: string): string => `hub-password-${user}`;
