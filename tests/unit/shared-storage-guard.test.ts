import { describe, expect, test } from "vitest";
import { describeCluster, validate } from "../../cluster/load.ts";
import { ARCHITECTURES } from "../../config/schema.ts";

const SHARED = "spark.triplewide.sharedFolders";
const INSTEAD = "spark.triplewide.writeInstead";
const EXTENSIONS = "spark.sql.extensions";

function guard(raw: Record<string, unknown>): Record<string, unknown> {
  return describeCluster(validate({ platform: "docker", ...raw }, "test")).spark.conf;
}

describe("the guard of shared storage", () => {
  test.each(ARCHITECTURES)("drivers of %s have all of it", (architecture) => {
    const { conf } = describeCluster(validate({ platform: "docker", architecture }, "test")).spark;
    expect(conf["spark.hadoop.fs.file.impl"]).toBe("triplewide.guard.GuardedFileSystem");
    expect(conf["spark.hadoop.fs.AbstractFileSystem.file.impl"]).toBe("org.apache.hadoop.fs.local.GuardedLocalFs");
    expect(conf[EXTENSIONS]).toBe("triplewide.guard.PlanCheck");
    expect(conf[INSTEAD]).toBeTruthy();
  });

  test("the message names the places that there are, and no other", () => {
    const s3 = { s3Endpoint: "https://s3.example.org", s3AccessKey: "key", s3SecretKey: "secret" };
    expect(guard({})[INSTEAD]).toBe("Write to /home/spark/work/results (or a relative path in a notebook).");
    expect(guard({ datanodeCount: 1 })[INSTEAD]).toBe(
      "Write to hdfs:///user/spark/results (a relative path lies in /user/spark there), or to file:///home/spark/work/results.",
    );
    expect(guard({ ...s3, sharedStorage: "none" })[INSTEAD]).toBe("Write to s3a://<bucket>/results.");
    const none = guard({ sharedStorage: "none" });
    expect(none[INSTEAD]).toMatch(/no place that all machines share.*sharedStorage.*toPandas/);
    expect(none).not.toHaveProperty([SHARED]);
    expect(guard({})[SHARED]).toBe("/home/spark/work");
  });

  test("sparkConf may share more folders, switch the guard off, and name extensions beside the guard's", () => {
    const sparkConf = {
      [SHARED]: "/home/spark/work,/mnt/site",
      "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.LocalFileSystem",
      [EXTENSIONS]: "io.delta.sql.DeltaSparkSessionExtension",
    };
    const { conf } = describeCluster(validate({ platform: "docker", sparkConf }, "test")).spark;
    expect(conf[SHARED]).toBe("/home/spark/work,/mnt/site");
    expect(conf["spark.hadoop.fs.file.impl"]).toBe("org.apache.hadoop.fs.LocalFileSystem");
    expect(conf[EXTENSIONS]).toBe("triplewide.guard.PlanCheck,io.delta.sql.DeltaSparkSessionExtension");
  });
});
