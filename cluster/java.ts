import type { Config } from "../config/schema.ts";
import { proxyJavaOptions } from "./outside.ts";
import { trustOptions } from "./packages.ts";

/** How Java is started for drivers and executors. */

/** Folder of the images with archives of Java's classes; `images/spark-python/class-archive` makes them. */
const CLASSES = "/opt/spark-classes";

/**
 * Properties that say so. With its archives of classes, Java starts Spark in about half of the CPU time.
 *
 * @param executorsFetchSpark Whether executors run another Spark than the image's, which no archive fits.
 */
export function javaProperties(c: Config, executorsFetchSpark: boolean): Record<string, string> {
  const archives = { driver: ["executor.jsa", "driver.jsa"], executor: executorsFetchSpark ? [] : ["executor.jsa"] };
  return Object.fromEntries(
    (["driver", "executor"] as const).flatMap((of) => {
      const files = archives[of].map((file) => `${CLASSES}/${file}`);
      // Whoever sets a class path of their own begins it otherwise: then Java does without the archive, and need not say so.
      const shared =
        files.length > 0 ? ["-Xlog:cds=off", "-Xlog:cds+dynamic=off", `-XX:SharedArchiveFile=${files.join(":")}`] : [];
      const proxy = of === "driver" ? proxyJavaOptions(c) : [];
      const options = [...trustOptions(c, of), ...proxy, ...shared];
      return [
        ...(files.length > 0 ? [[`spark.${of}.extraClassPath`, `${CLASSES}/spark.jar`]] : []),
        // Beside these, `extraJavaOptions` are the user's own.
        ...(options.length > 0 ? [[`spark.${of}.defaultJavaOptions`, options.join(" ")]] : []),
      ];
    }),
  );
}
