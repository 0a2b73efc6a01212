import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { applyLifetime, type Endable } from "../../cli/lifetime.ts";
import { endBeganIn, lastUpIn, OWN_MESSAGE } from "../../cli/stack.ts";
import { lifetimeOf, type Notice, readNotice } from "../../cluster/lifetime.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { RawConfig } from "../../config/validate.ts";
import { ROOT } from "../../lib/root.ts";

const LAST_UP = new Date("2026-11-20T08:00:00.123Z");
const HOUR = 3_600_000;
/** The time some hours after the last up. */
const later = (hours: number): Date => new Date(LAST_UP.getTime() + hours * HOUR);
const noticeOf = (ends: number): Notice => ({ lastUp: LAST_UP.toISOString(), ends: later(ends).toISOString() });

describe("what is to be done with a cluster", () => {
  const step = (hours: number, given?: Notice) => lifetimeOf(72, LAST_UP, given, later(hours));

  test("nothing, a warning for a quarter of ttlHours, and its end", () => {
    expect(step(53.9)).toEqual({ step: "leave", ends: later(72) });
    expect(step(54)).toEqual({ step: "warn", notice: noticeOf(72), given: false });
    expect(step(71.9, noticeOf(72))).toEqual({ step: "warn", notice: noticeOf(72), given: true });
    expect(step(72, noticeOf(72))).toEqual({ step: "end", notice: noticeOf(72) });
  });

  test("a day of warning is the most", () => {
    const at = (hours: number) => lifetimeOf(1000, LAST_UP, undefined, later(hours)).step;
    expect([at(975), at(977)]).toEqual(["leave", "warn"]);
  });

  test("one that nobody could warn in time lives on for the whole warning", () => {
    expect(step(100)).toEqual({ step: "warn", notice: noticeOf(118), given: false });
    expect(step(117, noticeOf(118)).step).toBe("warn");
    expect(step(118, noticeOf(118)).step).toBe("end");
  });

  test("a notice of an earlier up, or one that ends it too early, counts for nothing", () => {
    expect(step(100, { ...noticeOf(72), lastUp: "2026-11-01T08:00:00.000Z" }).step).toBe("warn");
    expect(step(71, noticeOf(60))).toEqual({ step: "warn", notice: noticeOf(89), given: false });
    expect(readNotice('{"lastUp": 1, "ends": "soon"}')).toBeUndefined();
    expect(readNotice("")).toBeUndefined();
  });

  test("whenever it is looked at, it ends only after a warning that stood long enough", () => {
    const looks = fc.array(fc.double({ min: 0, max: 400, noNaN: true }), { maxLength: 30 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), looks, (ttlHours, hours) => {
        let given: { notice: Notice; at: number } | undefined;
        for (const hour of hours.toSorted((a, b) => a - b)) {
          const life = lifetimeOf(ttlHours, LAST_UP, given?.notice, later(hour));
          if (life.step === "warn" && !life.given) given = { notice: life.notice, at: hour };
          if (life.step !== "end") continue;
          expect(hour).toBeGreaterThanOrEqual(ttlHours);
          expect(hour - (given?.at ?? Number.NaN)).toBeGreaterThanOrEqual(Math.min(ttlHours / 4, 24) - 1e-6);
        }
      }),
    );
  });
});

describe("triplewide scale and a forgotten cluster", () => {
  /** Files in containers, by the service. */
  async function apply(
    hours: number,
    files: Record<string, string>,
    more: { dryRun?: boolean; down?: boolean; begun?: boolean } = {},
  ) {
    const { dryRun = false, down = false, begun = false } = more;
    const said: string[] = [];
    let gone = false;
    const site: Endable = {
      cluster: describeCluster(validate({ platform: "docker", ttlHours: 72 }, "lab")),
      lastUp: async () => LAST_UP,
      endBegan: async () => begun,
      asRoot: async ({ name }, [program, , , , , content = ""]) => {
        if (down) return { code: 1, output: "Error: no such container" };
        if (program === "cat") return name in files ? { code: 0, output: files[name] ?? "" } : { code: 1, output: "" };
        if (program === "rm") delete files[name];
        else files[name] = content;
        return { code: 0, output: "" };
      },
      end: async () => {
        gone = true;
      },
      upCommand: "make up ENV=lab",
    };
    const report = (line: string): void => void said.push(line);
    const result = await applyLifetime(site, { now: later(hours), dryRun, report }).catch(
      (error: Error) => error.message,
    );
    return { said, gone, result };
  }

  test("says when it would end, and takes down what was told before another up", async () => {
    const files = { gateway: JSON.stringify({ ...noticeOf(72), lastUp: "2026-11-01T08:00:00.000Z" }) };
    const { said, gone } = await apply(1, files);
    expect(said).toEqual(["lab: ends 2026-11-23 08:00 UTC unless there is an up before (ttlHours is 72)"]);
    expect({ gone, files }).toEqual({ gone: false, files: {} });
  });

  test("tells it in every place, as often as it runs, and the same each time", async () => {
    const files: Record<string, string> = {};
    const first = await apply(60, files);
    expect(first.result).toEqual({ ended: false, notice: first.said[0] });
    expect(first.said[0]).toBe(
      "lab ends 2026-11-23 14:00 UTC: nobody has run an up since 2026-11-20 08:00 UTC (ttlHours is 72). Its volumes stay. To keep it: make up ENV=lab",
    );
    expect(files).toEqual({ gateway: JSON.stringify(noticeOf(78)), jupyter: JSON.stringify(noticeOf(78)) });
    delete files.jupyter;
    expect((await apply(70, files)).said).toEqual(first.said);
    expect(Object.keys(files)).toEqual(["gateway", "jupyter"]);
  });

  test("ends it, once", async () => {
    const { said, gone, result } = await apply(72, { gateway: JSON.stringify(noticeOf(72)) });
    expect(gone).toBe(true);
    expect(result).toEqual({ ended: true, notice: said[1] });
    expect(said[1]).toMatch(/^lab was ended: .* Its volumes, addresses and secrets stay. To bring it back: make up/);
  });

  test("--dry-run tells nobody and ends nothing", async () => {
    const files = {};
    expect((await apply(60, files, { dryRun: true })).said[0]).toContain("lab ends 2026-11-23 14:00");
    expect(files).toEqual({});
    expect(await apply(99, { gateway: JSON.stringify(noticeOf(72)) }, { dryRun: true })).toMatchObject({
      gone: false,
      said: [expect.stringContaining("lab: ends now")],
    });
  });

  test("goes on with an end that was cut off, though nobody is there any more who could be told", async () => {
    const { gone, result } = await apply(73, {}, { down: true, begun: true });
    expect(gone).toBe(true);
    expect(result).toMatchObject({ ended: true, notice: expect.stringContaining("lab was ended") });
  });

  test("ends none whose people cannot be told", async () => {
    const { gone, result } = await apply(500, {}, { down: true });
    expect(gone).toBe(false);
    expect(result).toContain("so it does not:\n  jupyter: Error: no such container");
  });
});

test("the last up of a stack is the last update that triplewide scale did not run", () => {
  const update = (kind: string, hours: number, message = ""): Parameters<typeof lastUpIn>[0][number] => ({
    kind,
    message,
    startTime: later(hours).toISOString(),
    endTime: later(hours + 0.5).toISOString(),
  });
  expect(lastUpIn([update("update", 9, OWN_MESSAGE), update("refresh", 8), update("update", 5)])).toEqual(later(5.5));
  expect(lastUpIn([update("update", 9, OWN_MESSAGE), update("update", 7, OWN_MESSAGE)])).toEqual(later(7));
  expect(lastUpIn([update("destroy", 9)])).toBeUndefined();

  const ours = update("destroy", 9, OWN_MESSAGE);
  expect(endBeganIn([ours, update("update", 5)])).toBe(true);
  expect(endBeganIn([update("refresh", 10), ours, update("update", 5)])).toBe(true);
  // The cluster was destroyed by a person, or brought up again afterwards.
  for (const history of [[update("destroy", 9), update("update", 5)], [update("update", 10), ours], []])
    expect(endBeganIn(history)).toBe(false);
});

test("the gateway shows the notice where the config has ttlHours, to who has logged in", () => {
  const routes = (raw: RawConfig): string => {
    const { services } = describeCluster(validate({ platform: "docker", ...raw }, "lab"));
    return JSON.stringify(services.find(({ name }) => name === "gateway")?.files);
  };
  expect(routes({})).not.toContain("notice.json");
  const shown = routes({ ttlHours: 72 });
  expect(shown.indexOf("/notice.json")).toBeGreaterThan(shown.indexOf("Log in first."));
});

describe("a notebook", () => {
  const folder = mkdtempSync(join(tmpdir(), "notice-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** The messages of a notebook's cells. Before each cell, the notice gets the next of the contents. */
  function cells(...contents: string[]): string[] {
    const program = [
      "import sys, triplewide_watch as w",
      "w.NOTICE = sys.argv[1]",
      "events = {}",
      "class Shell:",
      "    class events:",
      "        register = staticmethod(lambda name, call: events.__setitem__(name, call))",
      "w.CellWatcher(Shell)",
      "for n, content in enumerate(sys.argv[2:]):",
      "    open(w.NOTICE, 'w').write(content)",
      "    print(f'cell {n}', file=sys.stderr)",
      "    events['pre_run_cell'](None)",
      "    events['post_run_cell'](None)",
    ].join("\n");
    const env = {
      ...process.env,
      PYTHONPATH: join(ROOT, "images/client"),
      PYTHONDONTWRITEBYTECODE: "1",
      TZ: "Asia/Tokyo",
    };
    const file = join(folder, "notice.json");
    return execFileSync("sh", ["-c", 'exec python3 "$@" 2>&1', "sh", "-c", program, file, ...contents], {
      env,
      encoding: "utf8",
    })
      .trim()
      .split("\n");
  }

  test("says it before its next cell, once, in its own time, and again when it changes", () => {
    const said = cells(
      "",
      JSON.stringify(noticeOf(72)),
      JSON.stringify(noticeOf(72)),
      "nonsense",
      JSON.stringify(noticeOf(90)),
    );
    expect(said).toEqual([
      "cell 0",
      "cell 1",
      "triplewide: this cluster ends on Mon 23 Nov 17:00 JST: nobody has run an up since Fri 20 Nov 17:00 JST. Files and tables stay, what is in memory does not. Another up (make up, pulumi up) keeps it",
      "cell 2",
      "cell 3",
      "cell 4",
      expect.stringContaining("ends on Tue 24 Nov 11:00 JST"),
    ]);
  });
});
