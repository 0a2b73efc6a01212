import type { Cluster } from "../cluster/types.ts";
import type { Cloud } from "./cloud.ts";
import type { Findings } from "./findings.ts";

/** The cloud's names: whether it has the zone of `domain`, and whether the name is free in it. */

/** What is known of the zone. */
export interface DnsFacts {
  zoneId: string;
}

interface Zone {
  id: string;
  name: string;
}

interface RecordSet {
  name: string;
  type: string;
  records: readonly string[];
  description: string | null;
}

/** What a record says of whose it is. */
export const recordDescription = (clusterName: string): string => `triplewide ${clusterName}`;

/** A name as DNS has it: with the root at its end. */
export const absolute = (name: string): string => `${name.replace(/\.$/, "")}.`;

/** @returns Nothing where the config asks for no record, or where there can be none, which is then among the findings. */
export async function findZone(cloud: Cloud, cluster: Cluster, findings: Findings): Promise<DnsFacts | undefined> {
  const { dnsZone, domain } = cluster.config;
  if (dnsZone === undefined || domain === undefined) return undefined;
  if (!(await cloud.has("dns"))) {
    const fix = "remove dnsZone, and have your DNS lead domain to the output bastionAddress";
    findings.refuse("dnsZone", dnsZone, "this cloud has no service for names (Designate)", fix);
    return undefined;
  }
  const zones = await cloud.list<Zone>("dns", "/zones", "zones");
  const zone = zones.find(({ name }) => name === absolute(dnsZone));
  if (!zone) {
    const names = zones.map(({ name }) => name.replace(/\.$/, "")).sort();
    const fix = names.length > 0 ? `use one of ${names.join(", ")}` : "make one: openstack zone create";
    findings.refuse("dnsZone", dnsZone, "this project has no such zone", fix);
    return undefined;
  }
  const there = await cloud.list<RecordSet>("dns", `/zones/${zone.id}/recordsets`, "recordsets", {
    name: absolute(domain),
  });
  const other = there.find(
    ({ type, description }) => /^(A|CNAME)$/.test(type) && description !== recordDescription(cluster.name),
  );
  if (other) {
    const wrong = `its zone has a record of that name already, which leads to ${other.records.join(", ")}`;
    findings.refuse("domain", domain, wrong, "choose another name, or delete that record: openstack recordset delete");
  }
  return { zoneId: zone.id };
}
