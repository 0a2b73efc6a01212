import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import type { TlsSettings } from "../lib/http.ts";
import { CloudError } from "./errors.ts";

/**
 * Where a cloud is and who we are there, from the two places that every OpenStack tool reads: an entry of `clouds.yaml`
 * (OS_CLOUD) or OS_* variables. The Pulumi provider reads the same, so both act as one user in one project.
 */

/** What Keystone is told, by the names that `clouds.yaml` has for it; unset fields are absent. */
export type AuthField =
  | "auth_url"
  | "username"
  | "user_id"
  | "password"
  | "user_domain_id"
  | "user_domain_name"
  | "project_id"
  | "project_name"
  | "project_domain_id"
  | "project_domain_name"
  | "application_credential_id"
  | "application_credential_name"
  | "application_credential_secret"
  | "token";

export interface Credentials {
  auth: Partial<Record<AuthField, string>>;
  /** Empty: the cloud's only region. */
  region: string;
  interface: "public" | "internal" | "admin";
  /** What Pulumi's provider asks for, which reads OS_ENDPOINT_TYPE and nothing else. */
  engineInterface: Credentials["interface"];
  tls: TlsSettings;
  /** Name of the setting behind a field, for messages: `OS_PASSWORD`, or `auth.password of cloud demo in <file>`. */
  setting(field: AuthField | "region_name" | "interface" | "cacert"): string;
}

export interface CredentialSources {
  /** Entry of `clouds.yaml`; default OS_CLOUD. */
  cloud?: string;
  /** Default `process.env`. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Folder whose `clouds.yaml` comes first; default the working directory. */
  folder?: string;
  /** Default the user's home. */
  home?: string;
}

/** Fields that `clouds.yaml` and the environment share, with older names that are still in use. */
const AUTH_FIELDS: Record<AuthField, string[]> = {
  auth_url: [],
  username: [],
  user_id: [],
  password: [],
  user_domain_id: [],
  user_domain_name: [],
  project_id: ["tenant_id"],
  project_name: ["tenant_name"],
  project_domain_id: [],
  project_domain_name: [],
  application_credential_id: [],
  application_credential_name: [],
  application_credential_secret: [],
  token: [],
};

type Table = Record<string, unknown>;

/**
 * Finds the credentials.
 *
 * @throws CloudError naming the setting that is missing or wrong.
 */
export function findCredentials(sources: CredentialSources = {}): Credentials {
  const env = sources.env ?? process.env;
  const name = sources.cloud ?? env.OS_CLOUD ?? "";
  if (name !== "") return fromFile(name, sources, env);
  if (env.OS_AUTH_URL) return fromEnvironment(env);
  const file = findFile("clouds", sources, env);
  const known = file ? Object.keys(tableAt(readYaml(file), "clouds")) : [];
  throw new CloudError(
    known.length > 0
      ? `no cloud chosen: set OS_CLOUD to one of ${known.join(", ")} (the entries of ${file})`
      : "no cloud credentials: set OS_CLOUD to an entry of clouds.yaml, or OS_AUTH_URL and its companions (an openrc file)",
  );
}

function fromEnvironment(env: Readonly<Record<string, string | undefined>>): Credentials {
  const auth: Credentials["auth"] = {};
  for (const [field, aliases] of Object.entries(AUTH_FIELDS) as [AuthField, string[]][]) {
    const value = [field, ...aliases].map((f) => env[variable(f)]).find((v) => v);
    if (value) auth[field] = value;
  }
  const setting: Credentials["setting"] = variable;
  refuseAuthType(env.OS_AUTH_TYPE ?? "", "OS_AUTH_TYPE");
  fillDomains(auth, env.OS_DOMAIN_ID || env.OS_DEFAULT_DOMAIN_ID, env.OS_DOMAIN_NAME || env.OS_DEFAULT_DOMAIN_NAME);
  const insecure = isTrue(env.OS_INSECURE ?? "");
  return {
    auth,
    region: env.OS_REGION_NAME ?? "",
    interface: interfaceOf(env.OS_INTERFACE ?? env.OS_ENDPOINT_TYPE, setting),
    engineInterface: interfaceOf(env.OS_ENDPOINT_TYPE, setting),
    tls: tlsOf({ cacert: env.OS_CACERT, cert: env.OS_CERT, key: env.OS_KEY, verify: !insecure }, "", setting),
    setting,
  };
}

const isTrue = (value: string): boolean => ["1", "true", "yes"].includes(value.toLowerCase());

function variable(field: string): string {
  return `OS_${field.toUpperCase()}`;
}

function fromFile(
  name: string,
  sources: CredentialSources,
  env: Readonly<Record<string, string | undefined>>,
): Credentials {
  const file = findFile("clouds", sources, env);
  if (!file) {
    throw new CloudError(
      `OS_CLOUD is ${name}, but there is no clouds.yaml in ${folders(sources).join(", ")}; put it there, or name it in OS_CLIENT_CONFIG_FILE`,
    );
  }
  const clouds = tableAt(readYaml(file), "clouds");
  if (!(name in clouds)) {
    throw new CloudError(`OS_CLOUD is ${name}, but ${file} has only ${Object.keys(clouds).join(", ") || "no clouds"}`);
  }
  let entry = tableAt(clouds, name);
  // `profile` names what a provider publishes about itself; the entry's own values win.
  const profile = entry.profile ?? entry.cloud;
  const publicFile = typeof profile === "string" ? findFile("clouds-public", sources, env) : undefined;
  if (publicFile) entry = merge(tableAt(tableAt(readYaml(publicFile), "public-clouds"), String(profile)), entry);
  const secureFile = findFile("secure", sources, env);
  if (secureFile) entry = merge(entry, tableAt(tableAt(readYaml(secureFile), "clouds"), name));

  const given = tableAt(entry, "auth");
  const auth: Credentials["auth"] = {};
  for (const [field, aliases] of Object.entries(AUTH_FIELDS) as [AuthField, string[]][]) {
    // A secret that is left out of the file may come from the environment.
    const value = [field, ...aliases].map((f) => given[f]).find((v) => text(v)) ?? env[variable(field)];
    if (text(value)) auth[field] = text(value);
  }
  // Which user and project was said in the file: the other form of it, from the environment, would contradict it.
  for (const [one, other] of [
    ["username", "user_id"],
    ["project_name", "project_id"],
    ["user_domain_name", "user_domain_id"],
    ["project_domain_name", "project_domain_id"],
  ] as const) {
    if (text(given[one]) && !text(given[other])) delete auth[other];
    else if (text(given[other]) && !text(given[one])) delete auth[one];
  }
  fillDomains(
    auth,
    text(given.domain_id) || text(given.default_domain_id) || text(entry.default_domain),
    text(given.domain_name) || text(given.default_domain_name),
  );
  const setting: Credentials["setting"] = (field) =>
    `${field in AUTH_FIELDS ? `auth.${field}` : field} of cloud ${name} in ${file}`;
  const type = text(entry.auth_type);
  refuseAuthType(type, `auth_type of cloud ${name} in ${file}`);
  // Only one way to authenticate, the one that was named: a left-over variable must not decide.
  if (type.endsWith("password")) for (const f of applicationCredentialFields) delete auth[f];
  if (!type.endsWith("token") && type !== "") delete auth.token;
  const [first] = Array.isArray(entry.regions) ? entry.regions : [];
  // The environment wins, as it does for Pulumi's provider and the command `openstack`: machines would be elsewhere than what was asked.
  const region =
    env.OS_REGION_NAME || text(entry.region_name) || text(typeof first === "object" ? tableOf(first).name : first);
  const insecure = env.OS_INSECURE || undefined;
  return {
    auth,
    region,
    interface: interfaceOf(text(entry.interface) || text(entry.endpoint_type) || env.OS_INTERFACE, setting),
    engineInterface: interfaceOf(env.OS_ENDPOINT_TYPE, setting),
    tls: tlsOf(
      {
        cacert: env.OS_CACERT || text(entry.cacert),
        cert: env.OS_CERT || text(entry.cert),
        key: env.OS_KEY || text(entry.key),
        verify: insecure === undefined ? entry.verify !== false && entry.insecure !== true : !isTrue(insecure),
      },
      sources.home ?? homedir(),
      setting,
    ),
    setting,
  };
}

const AUTH_TYPES = ["", "password", "v3password", "v3applicationcredential", "token", "v3token"];

/** Federated logins open a browser, or ask somebody else than Keystone. */
function refuseAuthType(type: string, where: string): void {
  if (!AUTH_TYPES.includes(type))
    throw new CloudError(`${where}: ${type} is not supported; use password or v3applicationcredential`);
}

const applicationCredentialFields = [
  "application_credential_id",
  "application_credential_name",
  "application_credential_secret",
] as const;

/** Keystone wants a domain by id or by name; with both, different tools pick differently. The id is exact, so it wins. */
function fillDomains(auth: Credentials["auth"], id = "", name = ""): void {
  for (const owner of ["user", "project"] as const) {
    const [idField, nameField] = [`${owner}_domain_id`, `${owner}_domain_name`] as const;
    if (auth[idField]) delete auth[nameField];
    else if (!auth[nameField]) {
      if (id) auth[idField] = id;
      else if (name) auth[nameField] = name;
      else auth[idField] = "default";
    }
  }
}

function interfaceOf(value: string | undefined, setting: Credentials["setting"]): Credentials["interface"] {
  const name = (value || "public").replace(/URL$/, "");
  if (name === "public" || name === "internal" || name === "admin") return name;
  throw new CloudError(`${setting("interface")}: got ${name}; must be public, internal or admin`);
}

function tlsOf(
  given: { cacert: string | undefined; cert: string | undefined; key: string | undefined; verify: boolean },
  home: string,
  setting: Credentials["setting"],
): TlsSettings {
  const read = (path: string | undefined): string | undefined => {
    if (!path) return undefined;
    // Pulumi's provider takes the text itself as well; and a private key has no place in an error.
    if (path.includes("-----BEGIN ")) return path;
    const file = path.replace(/^~(?=\/)/, home || homedir());
    try {
      return readFileSync(file, "utf8");
    } catch {
      throw new CloudError(`${setting("cacert").replace("cacert", "cacert/cert/key")}: ${file} cannot be read`);
    }
  };
  const [ca, cert, key] = [read(given.cacert), read(given.cert), read(given.key)];
  return { verify: given.verify, ...(ca ? { ca } : {}), ...(cert ? { cert } : {}), ...(key ? { key } : {}) };
}

function folders(sources: CredentialSources): string[] {
  return [
    sources.folder ?? process.cwd(),
    join(sources.home ?? homedir(), ".config", "openstack"),
    join("/etc", "openstack"),
  ];
}

/** The first file of its kind; a file named in the environment comes before all others. */
function findFile(
  kind: "clouds" | "secure" | "clouds-public",
  sources: CredentialSources,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const override = {
    clouds: "OS_CLIENT_CONFIG_FILE",
    secure: "OS_CLIENT_SECURE_FILE",
    "clouds-public": "OS_CLIENT_VENDOR_FILE",
  }[kind];
  const named = env[override];
  if (named) {
    if (!existsSync(named)) throw new CloudError(`${override} names ${named}, which does not exist`);
    return named;
  }
  return folders(sources)
    .flatMap((folder) => ["yaml", "yml", "json"].map((end) => join(folder, `${kind}.${end}`)))
    .find((file) => existsSync(file));
}

function readYaml(file: string): Table {
  try {
    // JSON is YAML, so one parser reads all three endings.
    return tableOf(parse(readFileSync(file, "utf8")));
  } catch (error) {
    // The parser quotes the lines around a mistake, and here these may hold a password.
    throw new CloudError(`${file} is not valid YAML: ${(error as Error).message.split("\n")[0]}`);
  }
}

function tableAt(table: Table, key: string): Table {
  return tableOf(table[key]);
}

function tableOf(value: unknown): Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Table) : {};
}

function merge(base: Table, over: Table): Table {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] =
      typeof below === "object" && typeof value === "object" ? merge(tableOf(below), tableOf(value)) : value;
  }
  return merged;
}

/** YAML reads a password of digits as a number. */
function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}
