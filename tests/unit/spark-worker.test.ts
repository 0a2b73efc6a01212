import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/** `images/spark-python/spark-worker` ends a worker that the leading master does not know, and no other. */

const ID = "worker-20261126182003-127.0.0.1-7078";
const home = mkdtempSync(join(tmpdir(), "spark-worker-"));
const servers: Server[] = [];
/** The master's state: whether it leads, and the workers that it knows. */
let master = { status: "ALIVE", workers: [] as { id: string }[] };
let asked = 0;
const ports = { worker: 0, master: 0 };

async function serve(answer: () => unknown): Promise<number> {
  const server = createServer((_, response) => response.end(JSON.stringify(answer(), null, 2).replaceAll('":', '" :')));
  servers.push(server.listen(0, "127.0.0.1"));
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

beforeAll(async () => {
  mkdirSync(join(home, "bin"));
  writeFileSync(join(home, "bin", "spark-class"), "#!/bin/bash\nexec sleep 600\n", { mode: 0o755 });
  ports.master = await serve(() => {
    asked += 1;
    return master;
  });
  // As behind the gateway: the address of the master's page does not contain the master's port.
  ports.worker = await serve(() => ({ id: ID, masterurl: "spark://127.0.0.1:7077", masterwebuiurl: "/spark/" }));
});
afterAll(() => {
  for (const server of servers) server.close();
  rmSync(home, { recursive: true, force: true });
});

function start() {
  const options = ["--host", "127.0.0.1", "--webui-port", String(ports.worker), "spark://127.0.0.1:7077"];
  return spawn("bash", [join(ROOT, "images/spark-python/spark-worker"), ...options], {
    env: {
      ...process.env,
      SPARK_HOME: home,
      SPARK_MASTER_WEBUI_PORT: String(ports.master),
      SPARK_WORKER_LOOK_SECONDS: "0.1",
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
}

test("a worker that the leading master does not know ends, to begin anew", async () => {
  master = { status: "ALIVE", workers: [{ id: "worker-20261126181449-127.0.0.1-7078" }] };
  const child = start();
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  await once(child, "exit");
  expect(said).toContain("the leading master does not know this worker");
});

test.each([
  ["knows it", { status: "ALIVE", workers: [{ id: ID }] }],
  ["does not lead", { status: "STANDBY", workers: [] }],
  ["recovers", { status: "RECOVERING", workers: [] }],
])("a worker whose master %s stays", async (_, says) => {
  master = says;
  asked = 0;
  const child = start();
  let ended = false;
  child.on("exit", () => {
    ended = true;
  });
  while (asked < 6) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(ended).toBe(false);
  child.kill("SIGTERM");
  await once(child, "exit");
});
