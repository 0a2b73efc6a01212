import type { Config } from "../../../config/schema.ts";
import { type Identity, identityOf, issuerOf, serviceAuthority } from "../../authority.ts";
import type { Context } from "../../context.ts";
import { hasHub } from "../../features.ts";
import type { HttpProbe } from "../../probe.ts";
import type { File, Machine } from "../../types.ts";
import { text } from "../../values.ts";
import { userBlock } from "../hub/addresses.ts";
import { SPARK_UID } from "../spark/spark.ts";

/** How programs that talk by libprocess (masters, agents, executors, drivers and Marathon) identify themselves to each other. */

type Tls = Pick<Config, "mesosTls">;
type Certified = Tls & Pick<Config, "clusterName" | "networkCidr">;

const FOLDER = "/etc/libprocess";
/** Certificate of the authority by which they trust each other. */
const AUTHORITY = `${FOLDER}/authority.pem`;
/** The authority of the hub's guard. */
const [ISSUER, ISSUER_KEY] = [`${FOLDER}/issuer.pem`, `${FOLDER}/issuer-key.pem`];
/** Prefix of files of an agent's executors, which run as the user of their task. */
export const EXECUTORS = "executor-";

const certificateFile = (prefix: string): string => `${FOLDER}/${prefix}certificate.pem`;
const keyFile = (prefix: string): string => `${FOLDER}/${prefix}key.pem`;

/**
 * Environment of every program that talks by libprocess. It takes a message only from the address that the message says it is from. What
 * a master says to an agent needs no login: whoever may pass for one runs tasks as root.
 * Source: https://mesos.apache.org/documentation/latest/configuration/libprocess/
 */
export const KNOWN_PEERS = { LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH: "true" } as const;

/**
 * The same, and how it speaks TLS. Source: https://mesos.apache.org/documentation/latest/ssl/
 *
 * @param prefix Whose certificate it shows. @default its own
 */
export const libprocessEnv = ({ mesosTls }: Tls, prefix = ""): Record<string, string> => ({
  ...KNOWN_PEERS,
  ...(mesosTls
    ? {
        LIBPROCESS_SSL_ENABLED: "true",
        LIBPROCESS_SSL_KEY_FILE: keyFile(prefix),
        LIBPROCESS_SSL_CERT_FILE: certificateFile(prefix),
        LIBPROCESS_SSL_CA_FILE: AUTHORITY,
        LIBPROCESS_SSL_VERIFY_SERVER_CERT: "true",
        // By the address that is connected to: its own scheme asks the DNS for a name.
        LIBPROCESS_SSL_HOSTNAME_VALIDATION_SCHEME: "openssl",
        LIBPROCESS_SSL_VERIFY_IPADD: "true",
        // Those that it takes by itself are for other kinds of keys.
        LIBPROCESS_SSL_CIPHERS: "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256",
      }
    : {}),
});

/** The certificate of whom programs trust that read Mesos' pages and nothing else. None where those speak plain HTTP. */
export const mesosAuthority = (c: Certified, path: string): File[] =>
  c.mesosTls ? [{ path, content: { format: "text", text: serviceAuthority(c, "libprocess") }, mode: "0644" }] : [];

/**
 * What a program needs for `libprocessEnv`.
 *
 * @param name Name of the program, or of those that share a key.
 */
export const libprocessFiles = (c: Certified, machine: Pick<Machine, "name" | "address">, name: string): File[] => [
  ...mesosAuthority(c, AUTHORITY),
  ...identity(c, machine, name, ""),
];

/**
 * The authority for drivers of the hub's users. The guard has its key, because it alone knows a server's address when it starts the server.
 * On this machine's Docker that address is in the block of users' servers; on a machine of a cloud drivers use the machine's address.
 */
const usersAuthority = ({ config: c, platform, addresses }: Context): Identity =>
  issuerOf(c, "drivers", platform.servers ? (addresses("client")[0] ?? "") : userBlock(c.networkCidr));

/** `libprocessFiles` of a master, which speaks to drivers of the hub's users as well. */
export function masterFiles(ctx: Context, machine: Machine): File[] {
  const files = libprocessFiles(ctx.config, machine, "mesos-master");
  if (!hasHub(ctx.config)) return files;
  const both = text`${serviceAuthority(ctx.config, "libprocess")}${usersAuthority(ctx).certificate}`;
  return files.map((file) => (file.path === AUTHORITY ? { ...file, content: { format: "text", text: both } } : file));
}

/** What the guard has of the drivers' TLS. */
interface DriversGuard {
  /** Files of its own, and those that it puts into users' servers. */
  own: File[];
  shown: File[];
  /** Paths: of its authority, and of what it makes for a driver. */
  policy: Readonly<Record<string, string>>;
}

/**
 * What the hub's guard needs for `libprocessEnv` of users' drivers: the authority that these trust, and the authority by which it issues
 * their certificates.
 */
export function guardOfDrivers(ctx: Context): DriversGuard | undefined {
  if (!ctx.config.mesosTls) return undefined;
  const { certificate, key } = usersAuthority(ctx);
  const policy = { authority: ISSUER, authorityKey: ISSUER_KEY, certificate: certificateFile(""), key: keyFile("") };
  return {
    policy,
    shown: mesosAuthority(ctx.config, AUTHORITY),
    own: [
      { path: ISSUER, content: { format: "text", text: certificate }, mode: "0644" },
      { path: ISSUER_KEY, content: { format: "text", text: key }, mode: "0600" },
    ],
  };
}

/**
 * Certificate and key of executors that run as the user of their task. Mesos' library has no TLS without a key, and they may not read the
 * agent's.
 */
export const executorIdentity = (c: Certified, machine: Pick<Machine, "name" | "address">): File[] =>
  identity(c, machine, "mesos-executor", EXECUTORS).map((file) => ({ ...file, uid: SPARK_UID }));

function identity(c: Certified, machine: Pick<Machine, "name" | "address">, name: string, prefix: string): File[] {
  if (!c.mesosTls) return [];
  const { certificate, key } = identityOf(c, machine, name, ["server", "client"], "libprocess");
  return [
    { path: certificateFile(prefix), content: { format: "text", text: certificate }, mode: "0644" },
    { path: keyFile(prefix), content: { format: "text", text: key }, mode: "0600" },
  ];
}

/** The authority that a probe of Mesos' pages trusts, where it runs beside a program that has `libprocessFiles`. */
export const libprocessTrust = ({ mesosTls }: Tls): Pick<HttpProbe, "authorityFile"> =>
  mesosTls ? { authorityFile: AUTHORITY } : {};
