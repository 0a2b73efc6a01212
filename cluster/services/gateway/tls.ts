import type { Config } from "../../../config/schema.ts";
import type { WiredContext } from "../../context.ts";
import { platformOf } from "../../platforms.ts";
import type { Cluster, File, Json, Machine } from "../../types.ts";
import type { Value } from "../../values.ts";
import { authorityCertificate, authorityKey } from "./authority.ts";

/** How the gateway is encrypted: who issues its certificates, and for which names. */

type Door = Pick<Config, "tls" | "domain" | "platform" | "bindAddress" | "bastion" | "gatewayPort">;

/** Whether the gateway speaks HTTPS. */
export const isEncrypted = ({ tls }: Pick<Config, "tls">): boolean => tls !== "none";

const IPV4 = /^[\d.]+$/;

/**
 * The address that browsers who ask for no name are shown a certificate for: they send none where people type an address.
 *
 * @param own Address of the client.
 */
function addressOf(c: Door, own: string): string {
  if (c.domain !== undefined && IPV4.test(c.domain)) return c.domain;
  if (platformOf(c).servers && !c.bastion) return own;
  return platformOf(c).pageAddress(c) ?? "127.0.0.1";
}

/** Names and addresses that people reach the gateway by. @param own Address of the client. */
export const namesOf = (c: Door, own: string): string[] => [
  ...new Set([...(c.domain === undefined ? [] : [c.domain]), "localhost", addressOf(c, own)]),
];

/** Where a browser on this machine opens the gateway of a cluster in Docker: `https://spark.example.org:8090`. */
export function gatewayOrigin(c: Door): string {
  const host = c.domain ?? (isEncrypted(c) ? (platformOf(c).pageAddress(c) ?? "localhost") : c.bindAddress);
  return `${isEncrypted(c) ? "https" : "http"}://${host}:${c.gatewayPort}`;
}

const ownAuthority = (c: Config, own: string): Value => authorityCertificate(c.clusterName, namesOf(c, own));

/** The certificate, in PEM, by which people know the gateway of a cluster; `undefined` where its authority is not its own. */
export function authorityOf({ config: c, machines, services }: Cluster): Value | undefined {
  const gateway = services.find(({ ports }) => ports.some(({ encrypted }) => encrypted));
  const machine = machines.find(({ name }) => name === gateway?.machine);
  return machine && ownAuthority(c, machine.address);
}

/** What Caddy's configuration has for encryption, and the files that it names. */
export interface Encryption {
  /** Of its server. */
  server: Readonly<Record<string, Json>>;
  /** Beside its app `http`. */
  apps: Readonly<Record<string, Json>>;
  files: File[];
}

/** @param conf Folder of the files. */
export function encryption({ config: c }: WiredContext, machine: Machine, conf: string): Encryption {
  if (!isEncrypted(c)) return { server: {}, apps: {}, files: [] };
  const names = namesOf(c, machine.address);
  const [certificate, key] = [`${conf}/authority.crt`, `${conf}/authority.key`];
  return {
    server: {
      // Who types http:// is sent to https:// on the same port.
      listener_wrappers: [{ wrapper: "http_redirect" }, { wrapper: "tls" }],
      // Not h3: its UDP port is published nowhere.
      protocols: ["h1", "h2"],
      tls_connection_policies: [{ default_sni: addressOf(c, machine.address) }],
    },
    apps: {
      pki: { certificate_authorities: { local: { install_trust: false, root: { certificate, private_key: key } } } },
      tls: {
        certificates: { automate: names },
        automation: { policies: [{ issuers: [{ module: "internal" }] }] },
      },
    },
    files: [
      {
        path: certificate,
        content: { format: "text", text: ownAuthority(c, machine.address) },
        mode: "0644",
      },
      { path: key, content: { format: "text", text: authorityKey() }, mode: "0600" },
    ],
  };
}
