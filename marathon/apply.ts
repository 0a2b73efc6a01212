import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../lib/errors.ts";
import type { MarathonApp } from "../render/marathon-apps.ts";
import { type Changes, changes, hasSurplus, isOurs, isUnseen, pending, type RunningApp } from "./changes.ts";

/** One request to Marathon's HTTP interface, however it is reached: from this machine, or from one of the masters. */
export type MarathonHttp = (request: MarathonRequest) => Promise<MarathonAnswer>;

/** A request to Marathon, without its host and login. */
export interface MarathonRequest {
  method: "GET" | "PUT" | "DELETE";
  /** Path and query. */
  path: string;
  /** JSON text. */
  body?: string;
}

/** Marathon's answer, or why there is none. */
export interface MarathonAnswer {
  /** HTTP status; 0 when there was no answer, and `body` says why. */
  status: number;
  body: string;
}

/** Thrown when Marathon refuses an app, or does not get it to run; says which app and why. */
export class MarathonError extends UserError {
  override name = "MarathonError";
}

/** What `applyApps` works with. */
export interface ApplyOptions {
  /** How requests reach Marathon. */
  http: MarathonHttp;
  /** The cluster's apps, with every image reference filled in. */
  apps: readonly MarathonApp[];
  /** Seconds after which apps that do not run are given up. */
  timeoutSeconds: number;
  /** Takes one short line whenever something changed. */
  report?: (line: string) => void;
  /** Ends the waiting. @default nothing does but the timeout */
  signal?: AbortSignal;
  /** Milliseconds between two requests for the state of the apps. @default 2000 */
  pauseMs?: number;
  /** Milliseconds that a task may run before Marathon knows of its health. @default 120 000 */
  unseenMs?: number;
}

/** Our own apps only: those of others may be many. */
const LIST = "/v2/apps?id=/spark/&embed=apps.counts&embed=apps.deployments&embed=apps.lastTaskFailure";

/**
 * Makes a Marathon run the cluster's apps, and waits until it does.
 *
 * @returns What had to be changed; nothing where everything was as it should be.
 * @throws MarathonError with each app that is not there, and the last failure that Marathon tells of it.
 */
export async function applyApps(options: ApplyOptions): Promise<Changes> {
  const { http, apps, timeoutSeconds, report, signal, pauseMs = 2000, unseenMs = 120_000 } = options;
  const deadline = Date.now() + timeoutSeconds * 1000;
  const over = (): boolean => Date.now() >= deadline;
  const pause = (): Promise<void> => sleep(pauseMs, undefined, signal ? { signal } : {});

  /** A leader that is just being elected answers nothing of use: only a refusal is final. */
  const patiently = async (request: MarathonRequest): Promise<string> => {
    for (;;) {
      signal?.throwIfAborted();
      const answer = await http(request);
      if (answer.status >= 200 && answer.status < 300) return answer.body;
      const gone = request.method === "DELETE" && answer.status === 404;
      if (gone) return answer.body;
      if (isRefusal(answer.status) || over()) throw new MarathonError(refused(request, answer));
      await pause();
    }
  };
  const list = async (): Promise<RunningApp[]> => {
    const body = await patiently({ method: "GET", path: LIST });
    return (JSON.parse(body) as { apps: RunningApp[] }).apps;
  };

  const todo = changes(apps, await list());
  // `force`: a deployment that hangs locks its apps, and this update is there to repair them.
  if (todo.shrink.length > 0) {
    await patiently({ method: "PUT", path: "/v2/apps?force=true", body: JSON.stringify(todo.shrink) });
    const counts = new Map(todo.shrink.map(({ id, instances }) => [id, instances]));
    // Waits for the surplus tasks to end, and not for healthy ones: the apps may need the new definition to become healthy.
    while (!over() && (await list()).some((app) => hasSurplus(app, counts.get(app.id) ?? Infinity))) await pause();
  }
  if (todo.put.length > 0) {
    // `partialUpdate=false` removes fields that the definition no longer has.
    const path = "/v2/apps?force=true&partialUpdate=false";
    await patiently({ method: "PUT", path, body: JSON.stringify(todo.put) });
  }
  for (const id of todo.remove) await patiently({ method: "DELETE", path: `/v2/apps${id}?force=true` });

  let last = "";
  let seen = Date.now();
  for (;;) {
    const running = await list();
    if (!running.some((app) => isOurs(app.id) && isUnseen(app))) seen = Date.now();
    if (Date.now() - seen > unseenMs) {
      // A new leader asks Mesos for the state of all tasks.
      report?.("Marathon knows nothing of its tasks' health: it gets another leader");
      await http({ method: "DELETE", path: "/v2/leader" });
      seen = Date.now();
    }
    const waiting = pending(apps, running);
    if (waiting.length === 0) return todo;
    const line = waiting.join("; ");
    if (line !== last) report?.(line);
    last = line;
    if (over()) {
      const lines = [...waiting, ...unusedOffers(await http({ method: "GET", path: "/v2/queue" }))];
      const text = lines.map((line) => `  ${line}`).join("\n");
      throw new MarathonError(`Marathon's apps do not run after ${timeoutSeconds} s:\n${text}`);
    }
    await pause();
  }
}

/** Why Marathon takes no offer of Mesos for our apps that wait for one: a task that never started has no failure to tell. */
function unusedOffers({ status, body }: MarathonAnswer): string[] {
  if (status !== 200) return [];
  const { queue } = JSON.parse(body) as { queue: QueuedApp[] };
  return queue
    .filter(({ app }) => app && isOurs(app.id))
    .map(({ app, processedOffersSummary: offers }) => {
      const declined = (offers?.rejectSummaryLastOffers ?? []).filter((r) => r.declined > 0);
      const reasons = declined.map(({ reason, declined: count }) => `${reason} (${count})`).join(", ");
      return `${app?.id} waits for an offer${reasons ? `; the last ones were declined for ${reasons}` : ""}`;
    });
}

interface QueuedApp {
  app?: { id: string };
  processedOffersSummary?: { rejectSummaryLastOffers?: { reason: string; declined: number }[] };
}

/** 503 and the like come from a Marathon that has no leader yet. */
const isRefusal = (status: number): boolean => status >= 400 && status < 500 && status !== 408 && status !== 429;

function refused({ method, path }: MarathonRequest, { status, body }: MarathonAnswer): string {
  const what = `${method} ${path.replace(/\?.*$/, "")}`;
  if (status === 0) return `Marathon does not answer ${what}: ${body}`;
  if (status === 401 || status === 403) return `Marathon refuses the cluster's own login (${status} to ${what})`;
  return `Marathon answers ${what} with ${status}: ${explanation(body)}`;
}

/** Marathon's reasons are JSON: a message, and details with the path of each wrong field. */
function explanation(body: string): string {
  try {
    const { message, details } = JSON.parse(body) as {
      message?: string;
      details?: { path?: string; errors?: string[] }[];
    };
    const parts = (details ?? []).map(({ path, errors }) => `${path}: ${(errors ?? []).join(", ")}`);
    return [message, ...parts].filter(Boolean).join("; ");
  } catch {
    return body.slice(0, 300);
  }
}
