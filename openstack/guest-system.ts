import type { Cluster } from "../cluster/types.ts";
import type { Findings } from "./findings.ts";

/** Which systems machines can have, as far as an image says what it holds (`os_distro`, `os_version`). */

/** What an image says of its system, where it says anything. */
export interface GuestSystem {
  name: string;
  /** Such as `debian`. */
  os_distro?: string | null;
  /** Such as `12`. */
  os_version?: string | null;
}

interface System {
  /** Code name, which some images have as their version. */
  code: string;
  /** Whether its packages have the Python and the Java that executors without containers need. */
  executors: boolean;
  /** Whether tests have booted it (`GUEST_RELEASE` of the layer `machine`). */
  booted: boolean;
}

/** By distribution and version. */
export const SYSTEMS: Readonly<Record<string, Readonly<Record<string, System>>>> = {
  debian: {
    12: { code: "bookworm", executors: true, booted: true },
    13: { code: "trixie", executors: false, booted: true },
  },
  ubuntu: {
    22.04: { code: "jammy", executors: true, booted: false },
    24.04: { code: "noble", executors: false, booted: false },
  },
};

const TRIED = "use an image of Debian 12 or 13";

/** Refuses a system on which no machine can become ready, and warns of one that nobody has tried. */
export function checkGuestSystem(cluster: Cluster, image: GuestSystem, findings: Findings): void {
  const distribution = (image.os_distro ?? "").trim().toLowerCase();
  const version = (image.os_version ?? "").trim().toLowerCase();
  if (distribution === "") return;
  const it = `it has ${distribution} ${version}`.trim();
  const needsPython = cluster.services.some((s) => s.software?.python);
  const unfit = whyUnfit(distribution, version, needsPython);
  if (unfit) findings.refuse("image", cluster.config.image, `${it}, ${unfit.wrong}`, unfit.fix);
  else if (version !== "" && !systemOf(distribution, version)?.booted)
    findings.warn(`image: ${it}, which no test has booted. Fix: ${TRIED}`);
}

function whyUnfit(
  distribution: string,
  version: string,
  needsPython: boolean,
): { wrong: string; fix: string } | undefined {
  const known = SYSTEMS[distribution];
  if (!known) return { wrong: "and machines install packages of Debian", fix: TRIED };
  const oldest = Math.min(...Object.keys(known).map(Number));
  const system = systemOf(distribution, version);
  if (!system && Number.parseFloat(version) < oldest) return { wrong: `which is older than ${oldest}`, fix: TRIED };
  if (!system || system.executors || !needsPython) return undefined;
  return {
    wrong: "which does not have the Python that executors need without containers",
    fix: "use an image of Debian 12, or another architecture",
  };
}

/** By a version such as `12`, `12.11` or `bookworm`, `22.04` or `jammy`. */
function systemOf(distribution: string, version: string): System | undefined {
  const known = Object.entries(SYSTEMS[distribution] ?? {});
  return known.find(([number, { code }]) => code === version || `${version}.`.startsWith(`${number}.`))?.[1];
}
