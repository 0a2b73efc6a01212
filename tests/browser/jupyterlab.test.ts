import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";
import { findDocker } from "../../local/docker.ts";
import { TestCluster } from "../containers/harness.ts";
import { findChromium } from "./browser.ts";

const cluster = new TestCluster(await findDocker(), "tw-browser", 9, ["agentCount=2"]);
/** The folder of the screenshots, which a person can look at afterwards. */
const PICTURES = join(ROOT, ".triplewide/browser");
const TUTORIAL = "2-pandas-udf-and-plot.ipynb";
const MINUTES = 60_000;

let browser: Browser;
let page: Page;
/** The link that `up` printed. */
let link = "";
/** A file or folder of the file browser. */
const item = (name: string) => page.locator(`.jp-DirListing-item[title^="Name: ${name}"]`);
const shoot = (name: string) => page.screenshot({ path: join(PICTURES, `${name}.png`) });

describe("a new user's browser", () => {
  beforeAll(async () => {
    mkdirSync(PICTURES, { recursive: true });
    await cluster.cli("down", ["--volumes"]);
    const { code, output } = await cluster.cli("up", ["--no-smoke"]);
    expect(code, output).toBe(0);
    link = /Open +(http:\S+)/.exec(output)?.[1] ?? "";
    // Chromium's sandbox does not run as root. The pages are only this cluster's own.
    browser = await chromium.launch({ executablePath: findChromium() ?? "", args: ["--no-sandbox"] });
    // All tabs of one context share a login.
    const context = await browser.newContext({ viewport: { width: 1400, height: 1600 } });
    page = await context.newPage();
    page.setDefaultTimeout(3 * MINUTES);
  });
  afterAll(async () => {
    await browser?.close();
    await cluster.cli("down", ["--volumes"]);
  });

  test("a wrong password is said; the right one leads to the landing page, where everything is well", async () => {
    await page.goto(new URL("/", link).href);
    await page.getByLabel("Password of this cluster").fill("not this one");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByText("Wrong password.").waitFor();
    await page.getByLabel("Password of this cluster").fill(new URL(link).hash.slice(1));
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("heading", { name: "Pages" }).waitFor();
    const cards = page.locator("#pages a");
    await expect.poll(() => cards.locator(".dot.good").count(), { timeout: MINUTES }).toBe(await cards.count());
    await page.getByText("No job.").waitFor();
    // The picture shows the health of every service, and the number of machines.
    const dots = page.locator("#picture circle");
    expect(await dots.count()).toBeGreaterThan(3);
    await expect.poll(() => page.locator("#picture circle.bad").count(), { timeout: MINUTES }).toBe(0);
    await expect.poll(() => page.locator("#picture text").allTextContents()).toContain("spark-worker 2");
    await shoot("0-landing");
  });

  test("the link of `make up` logs in by itself; JupyterLab has the tutorials", async () => {
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Password of this cluster").waitFor();
    await page.goto(link);
    await page.getByRole("link", { name: /JupyterLab/ }).click();
    await item("tutorials").dblclick();
    await item("1-first-dataframe").waitFor();
    await shoot("1-tutorials");
  });

  test("a tutorial: run all, a progress bar, a plot", async () => {
    await item(TUTORIAL).dblclick();
    const notebook = page.locator(".jp-NotebookPanel");
    await page.getByText("PySpark | Idle").waitFor();
    await page.getByRole("menuitem", { name: "Run", exact: true }).click();
    await page.getByRole("menuitem", { name: "Run All Cells", exact: true }).click();
    // The progress bar of sparkmonitor, under a cell whose job runs.
    const bar = notebook.locator(".pm .progress-bar, .SparkMonitorCell, .pm").first();
    await bar.waitFor();
    await shoot("2-progress");
    const plot = notebook.locator(".jp-OutputArea-output img");
    await plot.waitFor();
    const width = await plot.evaluate((img) => (img as unknown as { naturalWidth: number }).naturalWidth);
    expect(width).toBeGreaterThan(500);
    await plot.scrollIntoViewIfNeeded();
    await shoot("3-plot");
    // The last cell ends the session; none of the cells failed.
    await page.getByText("PySpark | Idle").waitFor();
    expect(await page.getByText("get notified about official Jupyter news").count()).toBe(0);
    expect(await notebook.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count()).toBe(0);
    await page.screenshot({ path: join(PICTURES, "4-whole.png"), fullPage: true });
  });

  test("the landing page leads to a running job's pages, and those to each other", async () => {
    const says = [
      "from pyspark.sql import SparkSession",
      "spark = SparkSession.builder.appName('shown').getOrCreate()",
    ];
    const program = [...says, "spark.range(9).count(); print('ready', flush=True); input()"].join("; ");
    const job = cluster.converse("client", ["python3", "-c", program]);
    const shown = await page.context().newPage();
    try {
      await job.until("ready");
      await shown.goto(new URL("/", link).href);
      await shown.getByRole("link", { name: "shown", exact: true }).click();
      await shown.getByRole("heading", { name: /Spark Jobs/ }).waitFor();
      await shown.getByRole("link", { name: "Executors", exact: true }).click();
      await shown.getByRole("cell", { name: "driver", exact: true }).waitFor();
      const logo = shown.locator("img").first();
      expect(await logo.evaluate((img) => (img as unknown as { naturalWidth: number }).naturalWidth)).toBeGreaterThan(
        0,
      );
      await shown.screenshot({ path: join(PICTURES, "5-executors.png") });
    } finally {
      await shown.close();
      await job.end();
    }
  });

  test("an agent that is lost is missing in the picture", async () => {
    await cluster.kill("agent-2");
    await page.goto(new URL("/", link).href);
    const worker = page.locator("#picture text", { hasText: "spark-worker" });
    await expect.poll(() => worker.textContent(), { timeout: 2 * MINUTES }).toBe("spark-worker 1 of 2");
    expect(await page.locator("#picture circle.bad").count()).toBe(1);
    await shoot("6-agent-lost");
  });
});
