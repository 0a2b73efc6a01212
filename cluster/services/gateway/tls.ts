import type { Config } from "../../../config/schema.ts";
import { SECRET_KEYS } from "../../../config/secrets.ts";
import { pem } from "../../../lib/pem.ts";
import type { WiredContext } from "../../context.ts";
import { proxyEnv } from "../../outside.ts";
import type { Cluster, Directory, File, Json, Machine, Port } from "../../types.ts";
import { derived, secret, type Value } from "../../values.ts";
import { authorityKey, gatewayAuthority } from "./authority.ts";
import { gatewayOrigin, PUBLIC_PORTS, shownAddress, typedNames } from "./entrance.ts";

/** How the gateway is encrypted: who issues its certificates, and for which names. */

/** Where certificates come from that need no one to ask for them. */
const LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory";

const ownAuthority = (c: Config, own: string): Value => gatewayAuthority(c.clusterName, typedNames(c, own));

/** The certificate, in PEM, by which people know the gateway of a cluster; `undefined` where its authority is not its own. */
export function authorityOf({ config: c, machines, services }: Cluster): Value | undefined {
  if (!ISSUERS[c.tls].ownAuthority) return undefined;
  const gateway = services.find(({ ports }) => ports.some(({ forNetwork }) => forNetwork));
  const machine = machines.find(({ name }) => name === gateway?.machine);
  return machine && ownAuthority(c, machine.address);
}

/** What the gateway has for its encryption. Caddy's words are those of its JSON (https://caddyserver.com/docs/json/). */
export interface Encryption {
  /** What Caddy shows who asks for no name. */
  defaultName?: Value;
  /** Caddy's apps beside `http`. */
  apps?: Readonly<Record<string, Json>>;
  /** Caddy's settings of its app `http`, and its servers beside the door. */
  http?: Readonly<Record<string, Json>>;
  servers?: Readonly<Record<string, Json>>;
  /** Caddy's storage. @default nothing that it stores is worth keeping */
  storage?: Json;
  files?: File[];
  dirs?: Directory[];
  env?: Readonly<Record<string, string>>;
  ports?: Port[];
}

interface Issuer {
  /** Whether the authority is the cluster's own, which browsers do not know. */
  ownAuthority?: true;
  /** Whether browsers may keep in mind that the name is for HTTPS alone: where they trust the certificate in any case. */
  lasting?: true;
  /** Whether the issuer connects to port 80, from an address that is not known. */
  asked?: true;
  /** @param conf Folder of the files. */
  encryption: (ctx: WiredContext, machine: Machine, conf: string) => Encryption;
}

/** Folder of the client for certificates that others issue, which Caddy keeps and reads there. */
const STORAGE = "/home/gateway";

const text = (path: string, value: Value, mode: "0600" | "0644"): File => ({
  path,
  content: { format: "text", text: value },
  mode,
});

/** The certificates in a text, without what stands between them. */
export const certificatesIn = (text: string): string[] =>
  text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];

/** A private key of the config, in base64, as a PEM file: who reads it finds out by itself which of three forms it has. */
const keyInPem = (base64: string): string => pem(base64, "PRIVATE KEY");

/** By who issues certificates. */
export const ISSUERS: Readonly<Record<Config["tls"], Issuer>> = {
  none: { encryption: () => ({}) },
  own: {
    ownAuthority: true,
    encryption: ({ config: c }, machine, conf) => {
      const [certificate, key] = [`${conf}/authority.crt`, `${conf}/authority.key`];
      return {
        defaultName: shownAddress(c, machine.address),
        apps: {
          pki: {
            certificate_authorities: { local: { install_trust: false, root: { certificate, private_key: key } } },
          },
          tls: {
            certificates: { automate: typedNames(c, machine.address) },
            automation: { policies: [{ issuers: [{ module: "internal" }] }] },
          },
        },
        files: [text(certificate, ownAuthority(c, machine.address), "0644"), text(key, authorityKey(), "0600")],
      };
    },
  },
  files: {
    lasting: true,
    encryption: ({ config: c, script }, _, conf) => {
      const [certificate, key] = [`${conf}/tls.crt`, `${conf}/tls.key`];
      const chain = c.tlsCertificate === undefined ? "" : script(c.tlsCertificate);
      return {
        ...(c.domain === undefined ? {} : { defaultName: c.domain }),
        apps: { tls: { certificates: { load_files: [{ certificate, key }] } } },
        files: [
          text(
            certificate,
            certificatesIn(chain)
              .map((one) => `${one}\n`)
              .join(""),
            "0644",
          ),
          text(key, derived(keyInPem, secret(SECRET_KEYS.tlsKey)), "0600"),
        ],
      };
    },
  },
  acme: {
    lasting: true,
    asked: true,
    encryption: ({ config: c, addresses }, machine, conf) => {
      const { domain = "" } = c;
      const trusted = `${conf}/trusted.crt`;
      const own = c.trustedCertificates.length > 0;
      const issuer = {
        module: "acme",
        ca: c.acmeDirectory ?? LETS_ENCRYPT,
        ...(c.acmeEmail === undefined ? {} : { email: c.acmeEmail }),
        // By port 80 alone: who asks there need not be among those who may open the pages.
        challenges: { http: { alternate_port: c.acmePort }, "tls-alpn": { disabled: true } },
        ...(own ? { trusted_roots_pem_files: ["/etc/ssl/certs/ca-certificates.crt", trusted] } : {}),
      };
      return {
        defaultName: domain,
        apps: {
          tls: {
            certificates: { automate: [domain] },
            automation: { policies: [{ issuers: [issuer] }] },
          },
        },
        http: { http_port: c.acmePort },
        servers: {
          acme: {
            listen: [`:${c.acmePort}`],
            protocols: ["h1"],
            automatic_https: { disable: true },
            routes: [
              {
                handle: [
                  {
                    handler: "static_response",
                    status_code: 308,
                    headers: { Location: [`${gatewayOrigin(c, machine.address)}{http.request.uri}`] },
                  },
                ],
              },
            ],
          },
        },
        storage: { module: "file_system", root: STORAGE },
        files: own ? [text(trusted, c.trustedCertificates.map((one) => pem(one)).join(""), "0644")] : [],
        dirs: [{ path: STORAGE, lasts: "data" }],
        env: proxyEnv(c, [machine.address, ...addresses("spark-master"), ...addresses("mesos-master")]),
        ports: [
          {
            name: "acme",
            key: "acmePort",
            port: c.acmePort,
            from: ["bastion"],
            link: "acme",
            forNetwork: true,
            publishedAs: PUBLIC_PORTS.http,
          },
        ],
      };
    },
  },
};
