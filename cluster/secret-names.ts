/** Names of the cluster's secrets. Those that the config gives have theirs in `config/secrets.ts`. */

export const SECRET_NAMES = {
  /** Seed of the keys and certificates that the cluster's own authority issues (`authority.ts`). */
  serviceAuthority: "service-authority",
  /** Seed of the authority that issues the gateway's certificate (`services/gateway/authority.ts`). */
  gatewayAuthority: "gateway-authority",
  /** Password by which people log in at the gateway. */
  gatewayPassword: "gateway-password",
  /** Key that the cookies of the gateway's logins are signed with. */
  gatewaySession: "gateway-session",
  /** Token of JupyterLab, for people and for the gateway. */
  jupyterToken: "jupyter-token",
  /** Token of Spark Connect's clients. */
  connectToken: "spark-connect-token",
  /** Shared secret of all of Spark's processes (`spark.authenticate.secret`). */
  spark: "spark-auth",
  /** Password of Marathon's HTTP interface. */
  marathon: "marathon-http",
  /** Password of the HTTP interface of Mesos' agents. */
  mesosAgentHttp: "mesos-agent-http",
  /** Password of ZooKeeper's superuser. */
  zookeeperSuper: "zookeeper-super",
  /** Password by which machines pull from the cluster's own registry. */
  registryPull: "registry",
  /** Password by which `pulumi up` pushes to the cluster's own registry. */
  registryPush: "registry-push",
  /** Seed of the machines' SSH host keys (`host-keys.ts`). */
  hostKeys: "ssh-host-keys",
} as const;

/** Name of the secret by which a principal logs in to Mesos. */
export const mesosSecret = (principal: string): string => `mesos-${principal}`;

/** Name of the secret by which the owner of a znode logs in to ZooKeeper. */
export const zookeeperSecret = (owner: string): string => `zookeeper-${owner}`;

/** Name of the secret that is the first password of a user of the hub. */
export const firstPassword = (user: string): string => `hub-password-${user}`;
