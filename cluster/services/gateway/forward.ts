import type { WiredContext } from "../../context.ts";
import { hasHub } from "../../features.ts";
import { healthOf, tcp } from "../../probe.ts";
import type { Machine, Port, Service } from "../../types.ts";
import { isPublic, PUBLIC_PORTS } from "./entrance.ts";
import { ISSUERS } from "./tls.ts";

const CONF = "/etc/triplewide/haproxy.cfg";

/** Everyone: who issues certificates asks from wherever they are. */
const WORLD = "0.0.0.0/0";

/** Whether the bastion forwards people's connections to the gateway. */
export const isForwarded = ({ config }: WiredContext): boolean => config.gateway && isPublic(config);

/**
 * Forwards connections from the bastion's public address to the gateway, as they are: HAProxy has no key, and sees no page.
 * Its port 80 leads to what sends on to HTTPS, and answers who issues certificates.
 */
export function gatewayForward(ctx: WiredContext, machine: Machine): Service {
  const c = ctx.config;
  const [client = ""] = ctx.addresses("client");
  const { asked } = ISSUERS[c.tls];
  const ways = [
    { name: "https", port: PUBLIC_PORTS.https, to: c.gatewayPort, from: c.userCidrs },
    {
      name: "http",
      port: PUBLIC_PORTS.http,
      to: asked ? c.acmePort : c.gatewayPort,
      from: asked ? [WORLD] : c.userCidrs,
    },
    ...(hasHub(c) ? [{ name: "hub", port: c.hubPort, to: c.hubPort, from: c.userCidrs }] : []),
  ];
  const text = [
    "global\n  user haproxy\n  group haproxy\n  log stdout format raw daemon notice\n",
    // A notebook's WebSocket says nothing for as long as its cell runs.
    "defaults\n  mode tcp\n  log global\n  timeout connect 10s\n  timeout client 24h\n  timeout server 24h\n  timeout client-fin 30s\n",
    ...ways.map(({ name, port, to }) => `listen ${name}\n  bind :${port}\n  server client ${client}:${to}\n`),
  ].join("");
  return {
    name: "gateway-forward",
    machine: machine.name,
    runtime: "systemd",
    image: undefined,
    command: ["/usr/sbin/haproxy", "-db", "-f", CONF],
    env: {},
    files: [{ path: CONF, content: { format: "text", text }, mode: "0644" }],
    ports: ways.map(({ name, port, from }): Port => ({ name, port, from: [], fromCidrs: from })),
    health: healthOf(tcp(machine.address, PUBLIC_PORTS.https)),
    uid: 0,
    dirs: [],
    memoryMiB: 256,
    after: [],
    software: { packages: ["haproxy"], maskedUnits: ["haproxy.service"] },
    // It begins as root for its ports alone, and gives that up.
    hardening: { capabilities: ["NET_BIND_SERVICE", "SETGID", "SETUID"] },
  };
}
