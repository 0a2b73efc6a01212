import { parentPort } from "node:worker_threads";
import { FakeCloud } from "../tests/engine/fake-cloud.ts";

/** A cloud in memory, in a thread of its own. */
const cloud = await FakeCloud.start();
parentPort?.postMessage(cloud.env);
