import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { ROOT } from "../lib/root.ts";

/** The command line's entry: `triplewide <command> ...`. */

// Caches modules after types are stripped and code is compiled. If the folder is not writable, this is repeated at each start.
enableCompileCache(join(ROOT, "node_modules", ".cache", "triplewide"));
const { runProgram } = await import("./program.ts");
const failed = await runProgram(process.argv.slice(2));
if (failed !== undefined) process.exitCode = failed;
