import { runProgram } from "./program.ts";

/** The command line's entry: `triplewide <command> ...`. */
const failed = await runProgram(process.argv.slice(2));
if (failed !== undefined) process.exitCode = failed;
