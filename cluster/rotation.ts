import type { Config } from "../config/schema.ts";
import { AUTHORITY_SEED } from "./authority.ts";
import { HOST_KEY_SECRET } from "./host-keys.ts";
import { keyPairResource, secretResource, secretsComponent } from "./secrets.ts";
import { CONNECT_TOKEN } from "./services/connect/connect.ts";
import { GATEWAY_PASSWORD } from "./services/gateway/gateway.ts";
import type { Cluster, Service } from "./types.ts";
import { secretsFor } from "./values.ts";

/** The key pair by which people, and updates, log in to machines: Nova's, where the stack made it. */
const KEY_PAIR = "ssh-key-pair";

/** What of a stack can be replaced beside the secrets of its services: every machine is known by it, or knows somebody by it. */
export const machineSecrets = ({ keyPair }: Pick<Config, "keyPair">): string[] => [
  HOST_KEY_SECRET,
  ...(keyPair === undefined ? [KEY_PAIR] : []),
];

/** Pattern of the URN of what holds a secret of a stack. */
export const secretUrn = (clusterName: string, secret: string): string =>
  secret === KEY_PAIR
    ? `**openstack:compute/keypair:Keypair::${keyPairResource(clusterName)}`
    : `**random:index/randomPassword:RandomPassword::${secretResource(secretsComponent(clusterName), secret)}`;

const LOGIN = "who logs in with it needs the new one";
const FEW_SECONDS = "all that hold it start anew together; who comes first tries again until the other side has it";

/**
 * What people notice, or have to do, when a secret gets another value: by its name, the first that matches. What the config gives is
 * not here: the config is where it changes.
 */
const NOTES: readonly (readonly [name: RegExp, note: string])[] = [
  [/^spark-auth$/, "every part of Spark starts anew at once: running jobs end"],
  [/^zookeeper-super$/, "the ensemble starts anew, with its data"],
  [/^zookeeper-(mesos|marathon|spark|hdfs)$/, "ZooKeeper gives all that the owner keeps there to the new login"],
  [/^mesos-agent-http$/, LOGIN],
  [/^mesos-agent$/, `${FEW_SECONDS}. Running jobs end with their agents`],
  [/^mesos-spark$/, `${FEW_SECONDS}. Notebooks' running jobs end`],
  [/^mesos-(marathon|viewer|admin)$/, FEW_SECONDS],
  [
    /^mesos-user\./,
    "drivers of the user that start from now on need a new server: end theirs in JupyterHub's admin page",
  ],
  // Of a framework that the config adds.
  [/^mesos-[a-z0-9-]+$/, "start the framework anew with the new login"],
  [/^marathon-http$/, LOGIN],
  [new RegExp(`^(jupyter-token|${CONNECT_TOKEN})$`), LOGIN],
  [
    new RegExp(`^${GATEWAY_PASSWORD}$`),
    "people log in with the new one the next time; rotate gateway-session to end logins",
  ],
  [/^gateway-session$/, "every login at the gateway ends"],
  [/^gateway-authority$/, "people trust the new certificate: triplewide certificate"],
  [new RegExp(`^${AUTHORITY_SEED}$`), FEW_SECONDS],
  [/^registry(-push)?$/, "machines pull, and the next update pushes, by the new login"],
  [
    new RegExp(`^${HOST_KEY_SECRET}$`),
    "machines show other SSH host keys: write ~/.ssh/<cluster>.config anew (Pulumi.README.md)",
  ],
  [new RegExp(`^${KEY_PAIR}$`), "machines take no other key: write ~/.ssh/<cluster> anew (Pulumi.README.md)"],
  [/^hub-password-/, "the user's chosen password is void, and the new first one is asked for: triplewide users"],
];

/** What people notice of another value of a secret that was made; `undefined` for one that nobody has thought of. */
export const rotationNote = (name: string): string | undefined => NOTES.find(([of]) => of.test(name))?.[1];

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
