import type { Config } from "../config/schema.ts";
import { pem } from "../lib/pem.ts";
import { hasSharedStorage, SHARED_FOLDER } from "./shared-storage.ts";
import type { File } from "./types.ts";

/** Where drivers get jars from (`spark.jars.packages`), and whom they trust there. */

/** Where Ivy keeps what it fetched: beside the user's files, so that a replaced client still has it. */
const IVY_FOLDER = `${SHARED_FOLDER}/.ivy2`;
const IVY_SETTINGS = "/etc/triplewide/ivysettings.xml";

/** Certificate authorities of the config; `with-trust` of the client's image makes of them what Python and Java read. */
const TRUSTED = "/etc/triplewide/trusted.pem";
/** Where it puts that. Executors read it too where the folder is shared. */
export const TRUST_FOLDER = `${SHARED_FOLDER}/.trust`;

/** Properties of drivers. */
export function packageProperties(c: Config): Record<string, string> {
  return {
    "spark.jars.ivy": IVY_FOLDER,
    ...(c.mavenMirror === undefined ? {} : { "spark.jars.ivySettings": IVY_SETTINGS }),
  };
}

/** Options by which Java trusts whom the config trusts. */
export function trustOptions(c: Config, of: "driver" | "executor"): string[] {
  const found = c.trustedCertificates.length > 0 && (of === "driver" || hasSharedStorage(c));
  return found ? [`-Djavax.net.ssl.trustStore=${TRUST_FOLDER}/cacerts`] : [];
}

/** Files of the client that those properties name. */
export const packageFiles = (c: Config): File[] => [
  ...(c.mavenMirror === undefined ? [] : [textFile(IVY_SETTINGS, ivySettings(c.mavenMirror))]),
  ...trustedFiles(c),
];

/** File of the authorities that `trusting` reads. */
export const trustedFiles = (c: Config): File[] =>
  c.trustedCertificates.length === 0 ? [] : [textFile(TRUSTED, c.trustedCertificates.map((one) => pem(one)).join(""))];

/**
 * A command of the client that first makes its programs trust the authorities of the config.
 *
 * @param folder Where what programs read for that is put.
 */
export const trusting = (c: Config, command: readonly string[], folder = TRUST_FOLDER): string[] => [
  ...(c.trustedCertificates.length === 0 ? [] : ["with-trust", TRUSTED, folder]),
  ...command,
];

/** Environment of the client by which Python's programs trust them. @param folder As of `trusting`. */
export const trustEnv = (c: Config, folder = TRUST_FOLDER): Record<string, string> =>
  c.trustedCertificates.length === 0
    ? {}
    : Object.fromEntries(["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"].map((name) => [name, `${folder}/ca.pem`]));

/** Only the mirror is asked, but for what a driver names itself (`spark.jars.repositories`). */
const ivySettings = (mirror: string): string => `<ivysettings>
  <settings defaultResolver="mirror"/>
  <resolvers>
    <ibiblio name="mirror" m2compatible="true" root="${mirror.replace(/\/+$/, "")}/"/>
  </resolvers>
</ivysettings>
`;

const textFile = (path: string, text: string): File => ({ path, content: { format: "text", text }, mode: "0644" });
