import { GROUPS } from "../../cluster/groups.ts";
import { proxyEnv } from "../../cluster/outside.ts";
import type { Cluster } from "../../cluster/types.ts";
import type { Config } from "../../config/schema.ts";
import { pem } from "../../lib/pem.ts";
import type { WrittenFile } from "./document.ts";
import { CONF } from "./paths.ts";
import { environmentFile } from "./systemd.ts";

/** Where packages come from; empty: from where the guest image has them. */
export const aptMirror = (c: Config): string => c.aptMirror?.replace(/\/+$/, "") ?? "";

/** How a machine reaches what lies outside: the proxy, whom it trusts there, and what time it is. */
export function outside(cluster: Cluster, docker: boolean): WrittenFile[] {
  const c = cluster.config;
  const text = (path: string, content: string): WrittenFile => ({ path, mode: "0644", content });
  const lasting = cluster.machines.filter((m) => GROUPS[m.group].lasting).map((m) => m.address);
  const env = proxyEnv(c, lasting);
  const proxy =
    c.httpProxy === undefined
      ? []
      : [
          text("/etc/apt/apt.conf.d/90triplewide-proxy", aptProxy(c)),
          text(`${CONF}/proxy.env`, environmentFile(env)),
          ...(docker
            ? [
                text(
                  "/etc/systemd/system/docker.service.d/triplewide.conf",
                  `[Service]\nEnvironmentFile=${CONF}/proxy.env\n`,
                ),
              ]
            : []),
        ];
  const trusted = c.trustedCertificates.map((certificate, i) =>
    text(`/usr/local/share/ca-certificates/triplewide-${i + 1}.crt`, pem(certificate)),
  );
  const time =
    c.ntpServers.length === 0
      ? []
      : [
          text("/etc/systemd/timesyncd.conf.d/triplewide.conf", `[Time]\nNTP=${c.ntpServers.join(" ")}\n`),
          text("/etc/chrony/sources.d/triplewide.sources", c.ntpServers.map((s) => `server ${s} iburst\n`).join("")),
        ];
  return [...proxy, ...trusted, ...time];
}

/** Not by the environment alone: upgrades that run by themselves have none. */
function aptProxy(c: Config): string {
  const proxy = c.httpProxy?.replace(/\/$/, "");
  const direct = c.noProxy.filter((entry) => !/[./]$|^\.|\//.test(entry));
  return [
    `Acquire::http::Proxy "${proxy}";\nAcquire::https::Proxy "${proxy}";\n`,
    ...direct.map((host) => `Acquire::http::Proxy::${host} "DIRECT";\nAcquire::https::Proxy::${host} "DIRECT";\n`),
  ].join("");
}
