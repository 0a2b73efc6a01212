import type { Config } from "../config/schema.ts";
import { mesosSecret, SECRET_NAMES } from "./secret-names.ts";
import { keyPairResource, secretResource, secretsComponent } from "./secrets.ts";
import { PRINCIPALS } from "./services/mesos/principals.ts";
import type { Cluster, Service } from "./types.ts";
import { secretsFor } from "./values.ts";

/** The key pair by which people, and updates, log in to machines: Nova's, where the stack made it. */
const KEY_PAIR = "ssh-key-pair";

/** Secrets of a stack that belong to no service: all machines' host keys, and the key pair for SSH. */
export const machineSecrets = ({ keyPair }: Pick<Config, "keyPair">): string[] => [
  SECRET_NAMES.hostKeys,
  ...(keyPair === undefined ? [KEY_PAIR] : []),
];

/** Pattern of the URN of what holds a secret of a stack. */
export const secretUrn = (clusterName: string, secret: string): string =>
  secret === KEY_PAIR
    ? `**openstack:compute/keypair:Keypair::${keyPairResource(clusterName)}`
    : `**random:index/randomPassword:RandomPassword::${secretResource(secretsComponent(clusterName), secret)}`;

const LOGIN = "who logs in with it needs the new one";
const FEW_SECONDS = "all that hold it start anew together; who comes first tries again until the other side has it";
const REGISTRY = "machines pull, and the next update pushes, by the new login";

/**
 * What people notice, or have to do, when a secret gets another value: by its name or a pattern of names, the first that matches. What
 * the config gives is not here: the config is where it changes.
 */
const NOTES: readonly (readonly [name: string | RegExp, note: string])[] = [
  [SECRET_NAMES.spark, "every part of Spark starts anew at once: running jobs end"],
  [SECRET_NAMES.zookeeperSuper, "the ensemble starts anew, with its data"],
  [/^zookeeper-(mesos|marathon|spark|hdfs)$/, "ZooKeeper gives all that the owner keeps there to the new login"],
  [SECRET_NAMES.mesosAgentHttp, LOGIN],
  [mesosSecret(PRINCIPALS.agent), `${FEW_SECONDS}. Running jobs end with their agents`],
  [mesosSecret(PRINCIPALS.spark), `${FEW_SECONDS}. Notebooks' running jobs end`],
  [mesosSecret(PRINCIPALS.marathon), FEW_SECONDS],
  [mesosSecret(PRINCIPALS.viewer), FEW_SECONDS],
  [mesosSecret(PRINCIPALS.admin), FEW_SECONDS],
  [
    /^mesos-user\./,
    "drivers of the user that start from now on need a new server: end theirs in JupyterHub's admin page",
  ],
  // Of a framework that the config adds.
  [/^mesos-[a-z0-9-]+$/, "start the framework anew with the new login"],
  [SECRET_NAMES.marathon, LOGIN],
  [SECRET_NAMES.jupyterToken, LOGIN],
  [SECRET_NAMES.connectToken, LOGIN],
  [
    SECRET_NAMES.gatewayPassword,
    `people log in with the new one the next time; rotate ${SECRET_NAMES.gatewaySession} to end logins`,
  ],
  [SECRET_NAMES.gatewaySession, "every login at the gateway ends"],
  [SECRET_NAMES.gatewayAuthority, "people trust the new certificate: triplewide certificate"],
  [SECRET_NAMES.serviceAuthority, FEW_SECONDS],
  [SECRET_NAMES.registryPull, REGISTRY],
  [SECRET_NAMES.registryPush, REGISTRY],
  [SECRET_NAMES.hostKeys, "machines show other SSH host keys: write ~/.ssh/<cluster>.config anew (Pulumi.README.md)"],
  [KEY_PAIR, "machines take no other key: write ~/.ssh/<cluster> anew (Pulumi.README.md)"],
  [/^hub-password-/, "the user's chosen password is void, and the new first one is asked for: triplewide users"],
];

/** What people notice of another value of a secret that was made; `undefined` for a secret that has no note. */
export const rotationNote = (name: string): string | undefined =>
  NOTES.find(([of]) => (typeof of === "string" ? of === name : of.test(name)))?.[1];

/** Services that hold a secret, or what is made of it. */
const servicesWith = ({ services }: Pick<Cluster, "services">, secret: string): Service[] =>
  services.filter((s) => secretsFor([s.files, s.env]).includes(secret));

/** Names of the machines of OpenStack that have a secret, or what is made of it. */
export function machinesWith(cluster: Cluster, secret: string): string[] {
  const { config, machines, secrets } = cluster;
  const every = machineSecrets(config).includes(secret);
  const groups = secrets.find(({ name }) => name === secret)?.groups;
  const held = new Set(servicesWith(cluster, secret).map((s) => s.machine));
  return machines
    .filter(({ name, group }) => every || held.has(name) || groups?.includes(group))
    .map(({ name }) => name);
}

/** Names of the services that hold a secret, or what is made of it, and so start anew, each once. */
export const holdersOf = (cluster: Cluster, secret: string): string[] => [
  ...new Set(servicesWith(cluster, secret).map((s) => s.name)),
];
