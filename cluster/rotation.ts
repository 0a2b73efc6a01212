import { CONNECT_TOKEN } from "./services/connect/connect.ts";
import { GATEWAY_PASSWORD } from "./services/gateway/gateway.ts";
import type { Cluster } from "./types.ts";
import { secretsIn } from "./values.ts";

/** What becomes of the cluster when a secret gets another value. */
export interface Rotation {
  /** What people notice, or have to do afterwards. */
  note: string;
}

const LOGIN = "who logs in with it needs the new one";
const FEW_SECONDS = "all that hold it start anew together; who comes first tries again until the other side has it";

/** Secrets by their names, first match. What the config gives is not here: the config is where it changes. */
const ROTATIONS: readonly (readonly [name: RegExp, rotation: Rotation])[] = [
  [/^spark-auth$/, { note: "every part of Spark starts anew at once: running jobs end" }],
  [/^zookeeper-super$/, { note: "the ensemble starts anew, with its data" }],
  [
    /^zookeeper-(mesos|marathon|spark|hdfs)$/,
    { note: "ZooKeeper gives all that the owner keeps there to the new login" },
  ],
  [/^mesos-agent-http$/, { note: LOGIN }],
  [/^mesos-(agent|marathon|spark|viewer|admin)$/, { note: `${FEW_SECONDS}. Running jobs end with their agents` }],
  // Of a framework that the config adds.
  [/^mesos-[a-z0-9-]+$/, { note: "start the framework anew with the new login" }],
  [/^marathon-http$/, { note: LOGIN }],
  [new RegExp(`^(jupyter-token|${CONNECT_TOKEN})$`), { note: LOGIN }],
  [
    new RegExp(`^${GATEWAY_PASSWORD}$`),
    { note: "people log in with the new one the next time; rotate gateway-session to end logins" },
  ],
  [/^gateway-session$/, { note: "every login at the gateway ends" }],
  [/^gateway-authority$/, { note: "people trust the new certificate: triplewide certificate" }],
  [
    /^hub-password-/,
    { note: "the user's chosen password is void, and the new first one is asked for: triplewide users" },
  ],
];

/** How a secret that was made is replaced; `undefined` for one that nobody has thought of. */
export const rotationOf = (name: string): Rotation | undefined => ROTATIONS.find(([of]) => of.test(name))?.[1];

/** Names of the services that hold a secret, and so start anew, each once. */
export const holdersOf = ({ services }: Cluster, secret: string): string[] => [
  ...new Set(services.filter((s) => secretsIn([s.files, s.env]).includes(secret)).map((s) => s.name)),
];
