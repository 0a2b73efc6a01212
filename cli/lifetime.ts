import { type Lifetime, lifetimeOf, NOTICE_FILES, type Notice, readNotice } from "../cluster/lifetime.ts";
import type { Cluster, Service } from "../cluster/types.ts";
import { UserError } from "../lib/errors.ts";

/** A cluster that exists, and how it is ended. */
export interface Endable {
  cluster: Pick<Cluster, "name" | "config" | "services">;
  /** The time of the last `up` that was not one of `triplewide scale`. */
  lastUp: () => Promise<Date>;
  /** Whether `end` was interrupted, or failed, since then. It then runs again without another warning. @default it never is */
  endBegan?: () => Promise<boolean>;
  /** Runs a command as root in a service's container. */
  asRoot: (service: Service, command: readonly string[]) => Promise<{ code: number; output: string }>;
  /** Removes servers or containers, and keeps data. */
  end: () => Promise<void>;
  /** The command that keeps the cluster, or brings it back. */
  upCommand: string;
}

export interface LifetimeOptions {
  now: Date;
  dryRun: boolean;
  /** Takes one line at a time. */
  report: (line: string) => void;
}

/**
 * Warns the users of a cluster that has had no `up` for long, or ends it (`ttlHours`).
 *
 * @returns Whether the cluster was ended, and the message for users outside of it, which may be empty.
 * @throws UserError if the warning cannot be shown anywhere.
 */
export async function applyLifetime(
  site: Endable,
  { now, dryRun, report }: LifetimeOptions,
): Promise<{ ended: boolean; notice: string }> {
  const { name, config } = site.cluster;
  const { ttlHours } = config;
  if (ttlHours === undefined) return { ended: false, notice: "" };
  const places = site.cluster.services.flatMap((service) => {
    const file = (NOTICE_FILES as Readonly<Record<string, string>>)[service.name];
    return file === undefined ? [] : [{ service, file }];
  });
  const shown = await Promise.all(
    places.map(async ({ service, file }) => {
      const { code, output } = await site.asRoot(service, ["cat", file]);
      return code === 0 ? readNotice(output) : undefined;
    }),
  );
  const lastUp = await site.lastUp();
  // A notice about an earlier `up` may still exist if it could not be removed.
  const given = shown.find((notice) => notice?.lastUp === lastUp.toISOString());
  const begun = (await site.endBegan?.()) ?? false;
  const life: Lifetime = begun
    ? { step: "end", notice: { lastUp: lastUp.toISOString(), ends: now.toISOString() } }
    : lifetimeOf(ttlHours, lastUp, given, now);
  if (life.step === "leave") {
    report(`${name}: ends ${spoken(life.ends)} unless there is an up before (ttlHours is ${ttlHours})`);
    if (shown.some((notice) => notice !== undefined) && !dryRun) await takeDown(site, places);
    return { ended: false, notice: "" };
  }
  const { notice } = life;
  const since = `nobody has run an up since ${spoken(new Date(notice.lastUp))} (ttlHours is ${ttlHours})`;
  if (life.step === "end") {
    report(`${name}: ends now: ${since}`);
    if (dryRun) return { ended: false, notice: "" };
    await site.end();
    const text = `${name} was ended: ${since}. Its volumes, addresses and secrets stay. To bring it back: ${site.upCommand}`;
    report(text);
    return { ended: true, notice: text };
  }
  const text = `${name} ends ${spoken(new Date(notice.ends))}: ${since}. Its volumes stay. To keep it: ${site.upCommand}`;
  report(text);
  // Written again in every place, because a container may be new.
  if (!dryRun) await tell(site, places, notice);
  return { ended: false, notice: text };
}

interface Place {
  service: Service;
  file: string;
}

async function tell(site: Endable, places: readonly Place[], notice: Notice): Promise<void> {
  // Replaced atomically, because it may be read at the same time.
  const script = 'umask 022 && mkdir -p "$(dirname "$1")" && printf "%s\\n" "$2" > "$1.new" && mv -f "$1.new" "$1"';
  const answers = await Promise.all(
    places.map(({ service, file }) => site.asRoot(service, ["sh", "-c", script, "sh", file, JSON.stringify(notice)])),
  );
  if (answers.some(({ code }) => code === 0)) return;
  const reasons = answers.map(({ output }, i) => `  ${places[i]?.service.name}: ${output.trim()}`);
  throw new UserError(
    `nobody on "${site.cluster.name}" can be told that it is to end, so it does not:\n${reasons.join("\n")}\nFix: ${site.upCommand}, or remove the cluster.`,
  );
}

async function takeDown(site: Endable, places: readonly Place[]): Promise<void> {
  await Promise.all(places.map(({ service, file }) => site.asRoot(service, ["rm", "-f", file])));
}

/** A time for users, in UTC because they may be in any time zone. */
const spoken = (time: Date): string => `${time.toISOString().slice(0, 16).replace("T", " ")} UTC`;
