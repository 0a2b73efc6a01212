import type { Credentials } from "./credentials.ts";
import { CloudError } from "./errors.ts";

/** The services of a cloud, by its catalogue: where each answers, in which region and by which interface. */

/** A service that this program asks. */
export type Service = "identity" | "compute" | "network" | "image" | "volume" | "object-store" | "s3" | "share" | "dns";

interface ServiceRecord {
  types: string[];
  version: (projectId: string) => string;
  /** What it is needed for. */
  why: string;
  /** Addresses that will do; a catalog may list older versions under the same types. @default every one */
  only?: RegExp;
  /** @default none but the token */
  headers?: Readonly<Record<string, string>>;
}

/** Types under which catalogs list a service, best first, and the version that is put behind an address without one. */
export const SERVICES: Record<Service, ServiceRecord> = {
  identity: { types: ["identity"], version: () => "/v3", why: "keys for S3" },
  compute: { types: ["compute"], version: () => "/v2.1", why: "machines" },
  network: { types: ["network"], version: () => "/v2.0", why: "networks" },
  image: { types: ["image"], version: () => "/v2", why: "guest images" },
  volume: {
    types: ["block-storage", "volumev3", "block-store", "volume"],
    version: (projectId) => `/v3/${projectId}`,
    why: "data volumes",
    only: /\/v3(\/|$)|^(?!.*\/v\d)/,
  },
  "object-store": { types: ["object-store"], version: (projectId) => `/v1/AUTH_${projectId}`, why: "containers" },
  dns: { types: ["dns"], version: () => "/v2", why: "names" },
  // Access rules have a list of their own from OpenStack's release Stein on.
  share: {
    types: ["shared-file-system", "sharev2"],
    version: () => "/v2",
    why: "shares",
    headers: { "x-openstack-manila-api-version": "2.45" },
  },
  s3: { types: ["s3"], version: () => "", why: "containers, as S3 has them" },
};

/** A service as Keystone's catalog has it. */
export interface CatalogEntry {
  type: string;
  endpoints: { interface: string; region?: string; region_id?: string; url: string }[];
}

/** What came with a token. */
export interface Token {
  id: string;
  expires: number;
  projectId: string;
  projectName: string;
  userId: string;
  /** Names of the roles that the credentials have in the project. */
  roles: readonly string[];
  /** Seconds by which the cloud's clock is ahead of this machine's; undefined where it does not say. */
  aheadSeconds: number | undefined;
  catalog: CatalogEntry[];
}

const regionOf = (endpoint: CatalogEntry["endpoints"][number]): string => endpoint.region_id ?? endpoint.region ?? "";

function regionsOf(token: Token): string[] {
  return [...new Set(token.catalog.flatMap((entry) => entry.endpoints.map(regionOf)))].sort();
}

/** @throws CloudError where the cloud has not the region of the credentials, or they name none of several. */
export function checkRegion(token: Token, c: Credentials): void {
  const regions = regionsOf(token);
  if (c.region === "" && regions.length > 1) {
    throw new CloudError(`${c.setting("region_name")} is not set, and the cloud has several: ${regions.join(", ")}`);
  }
  if (regions.length === 0) {
    throw new CloudError(`the cloud at ${c.auth.auth_url} lists no services for project ${token.projectName}`);
  }
  if (c.region !== "" && !regions.includes(c.region)) {
    throw new CloudError(`${c.setting("region_name")}: no region ${c.region}; the cloud has ${regions.join(", ")}`);
  }
}

/** Address of a service with its version, without a slash at the end. */
export function endpointOf(token: Token, service: Service, c: Credentials): string | undefined {
  const { types, version, only } = SERVICES[service];
  for (const type of types) {
    for (const entry of token.catalog.filter((e) => e.type === type)) {
      const endpoint = entry.endpoints.find(
        (e) => e.interface === c.interface && (c.region === "" || regionOf(e) === c.region),
      );
      if (!endpoint) continue;
      const url = endpoint.url.replace(/\/+$/, "");
      if (only?.test(new URL(url).pathname) === false) continue;
      return /\/v\d+(\.\d+)?(\/[^/]+)?$/.test(url) ? url : url + version(token.projectId);
    }
  }
  return undefined;
}

/** What to say of a service that the catalog does not list for us. */
export function missingService(token: Token, service: Service, c: Credentials): string {
  const { types, why } = SERVICES[service];
  const elsewhere = token.catalog
    .filter((entry) => types.includes(entry.type))
    .flatMap((entry) => entry.endpoints.map((e) => `${e.interface} in ${regionOf(e)}`));
  const where = `interface ${c.interface}${c.region ? ` in region ${c.region}` : ""}`;
  return elsewhere.length > 0
    ? `the cloud lists no ${service} service (${why}) for ${where}, only ${[...new Set(elsewhere)].join(", ")}: change ${c.setting("interface")} or ${c.setting("region_name")}`
    : `the cloud at ${c.auth.auth_url} has no ${service} service (${why})`;
}
