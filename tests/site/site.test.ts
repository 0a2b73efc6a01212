import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/** The site, built as `make site` builds it: every document is a page, and every link and anchor leads somewhere. */

const DIST = join(ROOT, "site", "dist");

/** The text of each page by its address, such as `/docs/FILES`. */
const pages = new Map<string, string>();

beforeAll(() => {
  execFileSync("make", ["site"], { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  for (const file of readdirSync(DIST, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".html") || file === "404.html") continue;
    pages.set(
      `/${file.replace(/(?<![^/])index\.html$/, "").replace(/\.html$/, "")}`,
      readFileSync(join(DIST, file), "utf8"),
    );
  }
});

test("every document is a page", () => {
  const documents = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => `/docs/${file.replace(/README\.md$/, "").replace(/\.md$/, "")}`);
  expect([...pages.keys()]).toEqual(expect.arrayContaining(["/", "/CHANGELOG", ...documents]));
});

test("every link and anchor leads somewhere", () => {
  const lost: string[] = [];
  let seen = 0;
  for (const [address, html] of pages) {
    const links = [...html.matchAll(/<a [^>]*?href="([^"]+)"/g)].map(([, href = ""]) => href.replaceAll("&amp;", "&"));
    for (const href of links) {
      if (/^[a-z]+:/.test(href)) continue;
      seen += 1;
      const [path = "", anchor] = href.split("#");
      const target =
        path === ""
          ? address
          : posix.resolve(posix.dirname(address), path) + (path.endsWith("/") && path !== "/" ? "/" : "");
      const page = pages.get(target);
      if (page === undefined && !existsSync(join(DIST, target))) lost.push(`${address}: ${href}`);
      else if (
        anchor &&
        page !== undefined &&
        !page.includes(`id="${decodeURIComponent(anchor)}"`) &&
        anchor !== "VPContent"
      )
        lost.push(`${address}: ${href} (no such heading)`);
    }
  }
  expect(seen).toBeGreaterThan(100);
  expect(lost).toEqual([]);
});
