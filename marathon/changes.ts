import { createHash } from "node:crypto";
import type { MarathonApp } from "../render/marathon-apps.ts";

/**
 * What has to happen in a Marathon so that it runs the cluster's apps and no others of ours. Pure: the same code decides
 * for `make up` and for `pulumi up`.
 */

/** An app as Marathon describes it, as far as it matters here. */
export interface RunningApp {
  id: string;
  instances: number;
  labels?: Record<string, string>;
  tasksStaged?: number;
  tasksRunning?: number;
  tasksHealthy?: number;
  tasksUnhealthy?: number;
  deployments?: { id: string }[];
  lastTaskFailure?: { message?: string; state?: string; host?: string; timestamp?: string };
}

/** The requests that make a Marathon run what is wanted, in the order in which they are sent. */
export interface Changes {
  /**
   * Smaller counts of apps whose definition differs too, to be reached before that is put: Marathon 1.11 ends surplus tasks
   * of an app that it restarts, and then waits for ever without ending the others.
   */
  shrink: { id: string; instances: number }[];
  /** Complete definitions, for apps that are new or differ. */
  put: MarathonApp[];
  /** Ids of our apps that the definition no longer has. */
  remove: string[];
}

/**
 * Label with a hash of the definition that an app was made from. Marathon answers with defaults filled in and fields moved,
 * differently from release to release, so that its answer cannot be compared with what was sent.
 */
const DEFINITION_LABEL = "triplewide-definition";

/** Groups whose apps are ours. Everything else in the same Marathon belongs to someone else. */
const OWNED = ["/spark/"];

/** Whether an app belongs to the cluster, by the group that its id begins with. */
export const isOurs = (id: string): boolean => OWNED.some((group) => id.startsWith(group));

/** The app with the label that identifies its definition. The count of instances is no part of the label: Marathon reports that itself. */
export function labelled(app: MarathonApp): MarathonApp {
  const { instances: _, ...rest } = app;
  const hash = createHash("sha256").update(JSON.stringify(rest)).digest("hex").slice(0, 16);
  return { ...app, labels: { [DEFINITION_LABEL]: hash } };
}

/**
 * What to ask of Marathon so that it runs the wanted apps and no others of the cluster's groups.
 *
 * @param running Apps that Marathon has, of any group.
 * @throws Error where a wanted app is outside of the cluster's groups.
 */
export function changes(wanted: readonly MarathonApp[], running: readonly RunningApp[]): Changes {
  const stray = wanted.find((app) => !isOurs(app.id));
  if (stray) throw new Error(`${stray.id} is outside of the groups that are ours`);
  const known = new Map(running.map((app) => [app.id, app]));
  const isSame = (app: MarathonApp): boolean =>
    known.get(app.id)?.labels?.[DEFINITION_LABEL] === app.labels?.[DEFINITION_LABEL];
  const put = wanted.map(labelled).filter((app) => known.get(app.id)?.instances !== app.instances || !isSame(app));
  const shrink = put
    .filter((app) => (known.get(app.id)?.instances ?? 0) > app.instances && !isSame(app))
    .map(({ id, instances }) => ({ id, instances }));
  const names = new Set(wanted.map((app) => app.id));
  const remove = running.map((app) => app.id).filter((id) => isOurs(id) && !names.has(id));
  return { shrink, put, remove };
}

/** Whether an app has tasks beyond its count that have not ended yet. */
export const hasSurplus = ({ tasksStaged = 0, tasksRunning = 0 }: RunningApp, instances: number): boolean =>
  tasksStaged + tasksRunning > instances;

/**
 * Whether Marathon has lost sight of an app's health: all of its tasks run, and of none is anything known. Marathon 1.11 does
 * so for good when another one becomes the leader while a task runs that was not checked yet.
 */
export const isUnseen = ({ instances, tasksRunning, tasksHealthy, tasksUnhealthy, deployments }: RunningApp): boolean =>
  instances > 0 && tasksRunning === instances && !tasksHealthy && !tasksUnhealthy && (deployments ?? []).length === 0;

/** Why the apps are not all there yet: one line for each app, none when they are. */
export function pending(wanted: readonly MarathonApp[], running: readonly RunningApp[]): string[] {
  const known = new Map(running.map((app) => [app.id, app]));
  const names = new Set(wanted.map((app) => app.id));
  const leaving = running
    .filter(({ id }) => isOurs(id) && !names.has(id))
    .map(({ id }) => `${id}: still being removed`);
  const waiting = wanted.flatMap(({ id, instances }) => {
    const app = known.get(id);
    if (!app) return [`${id}: not known to Marathon`];
    const healthy = app.tasksHealthy ?? 0;
    if (healthy === instances && app.tasksRunning === instances && (app.deployments ?? []).length === 0) return [];
    return [`${id}: ${healthy} of ${instances} healthy${lastFailure(app)}`];
  });
  return [...leaving, ...waiting];
}

function lastFailure({ lastTaskFailure }: RunningApp): string {
  if (!lastTaskFailure) return "";
  const { message, state, host } = lastTaskFailure;
  return `; last failure${host ? ` on ${host}` : ""}: ${[state, message].filter(Boolean).join(", ") || "Marathon does not say why"}`;
}
