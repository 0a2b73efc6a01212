import { join } from "node:path";
import type { Command } from "commander";
import { interactive } from "../lib/exec.ts";
import { ROOT } from "../lib/root.ts";
import { commandOf } from "./common.ts";

interface Options {
  list: boolean;
  lock: boolean;
  plain: boolean;
}

/** `triplewide images`. */
export function images(): Command {
  return commandOf(
    "images",
    "Builds the container images where something changed.",
    "Those are spark-python and client, or those named, with what they stand on. `images/build.sh --help` says what is read from the environment.",
    ["triplewide images", "triplewide images all", "triplewide images --list"],
  )
    .argument("[image...]", "names of images, or `all` (default: spark-python client)")
    .option("--list", "say which images there are and which are built, and build none", false)
    .option("--lock", "only bring requirements.txt up to date with requirements.in", false)
    .option("--plain", "Docker's output as lines instead of a moving display", false)
    .action(async (names: string[], { list, lock, plain }: Options) => {
      const options = [...(list ? ["--list"] : []), ...(lock ? ["--lock"] : []), ...(plain ? ["--plain"] : [])];
      process.exitCode = await interactive(join(ROOT, "images", "build.sh"), [...options, ...names]);
    });
}
