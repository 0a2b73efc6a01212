/**
 * How long a cluster lives on after its last `up`, where the config says so (`ttlHours`): a forgotten one is ended by `triplewide scale`,
 * after a warning. Pure: times are given.
 */

const HOUR_MS = 3_600_000;
/** The warning comes so long before the end, and no later, whenever `triplewide scale` runs: a part of `ttlHours`, and hours at most. */
const WARNING = { part: 1 / 4, hoursAtMost: 24 };

/** Where a service that writes to `/tmp` alone keeps the notice. */
export const NOTICE_FILE = "/tmp/notice.json";

/** What people of a cluster are told before it ends; times as ISO 8601 has them, in UTC. */
export interface Notice {
  /** When the last `up` was run. */
  lastUp: string;
  ends: string;
}

/** What is to be done with a cluster at a time. */
export type Lifetime =
  | { step: "leave"; ends: Date }
  /** `given` where it was said before. */
  | { step: "warn"; notice: Notice; given: boolean }
  | { step: "end"; notice: Notice };

/**
 * What is to be done with a cluster now. It never ends without a warning that stood for a quarter of `ttlHours`, a day at most: where
 * nobody could give that in time, it ends later.
 *
 * @param lastUp When a person, or a workflow in the name of one, last ran an `up`.
 * @param given The notice that the cluster shows; of an earlier `up` it counts for nothing.
 */
export function lifetimeOf(ttlHours: number, lastUp: Date, given: Notice | undefined, now: Date): Lifetime {
  const soonest = lastUp.getTime() + ttlHours * HOUR_MS;
  const warning = Math.min(ttlHours * WARNING.part, WARNING.hoursAtMost) * HOUR_MS;
  if (now.getTime() < soonest - warning) return { step: "leave", ends: new Date(soonest) };
  const ends = given?.lastUp === lastUp.toISOString() ? Date.parse(given.ends) : Number.NaN;
  const counts = ends >= soonest;
  const notice: Notice = {
    lastUp: lastUp.toISOString(),
    ends: new Date(counts ? ends : Math.max(soonest, now.getTime() + warning)).toISOString(),
  };
  if (counts && now.getTime() >= ends) return { step: "end", notice };
  return { step: "warn", notice, given: counts };
}

/** The notice that a file of a cluster holds; `undefined` where it holds none. */
export function readNotice(text: string): Notice | undefined {
  try {
    const { lastUp, ends } = JSON.parse(text) as Partial<Record<keyof Notice, unknown>>;
    return typeof lastUp === "string" && typeof ends === "string" && !Number.isNaN(Date.parse(ends))
      ? { lastUp, ends }
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The service by which people are told, by its name, and the file in its container: what `triplewide scale` writes there, no program of
 * a user's can write. Users of a hub are told by the folder of the guard's, which their containers have as `/run/notice`.
 */
export const NOTICE_FILES = {
  gateway: NOTICE_FILE,
  "hub-guard": "/var/lib/notebooks/notice/notice.json",
  jupyter: "/run/notice/notice.json",
} as const satisfies Readonly<Record<string, string>>;
