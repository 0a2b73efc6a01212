import { describe, expect, test } from "vitest";
import { defineCluster } from "../../cluster/define.ts";
import { validate } from "../../cluster/load.ts";
import type { Cluster, Service } from "../../cluster/types.ts";
import { ARCHITECTURES } from "../../config/schema.ts";
import { readCheckout } from "../../lib/checkout.ts";
import { renderCompose } from "../../render/compose.ts";
import { CLOUD, mesosOf } from "../fixtures/configs.ts";

const define = (raw: Record<string, unknown>): Cluster => defineCluster(validate(raw, "test"), readCheckout());
const metastoreOf = (cluster: Cluster): Service | undefined => cluster.services.find((s) => s.name === "metastore");
const URIS = "spark.hadoop.hive.metastore.uris";

describe.each(ARCHITECTURES)("the catalogue of tables in %s", (architecture) => {
  test("is on the client, where drivers ask it", () => {
    const cluster = define({ platform: "docker", architecture, metastorePort: 9100 });
    expect(metastoreOf(cluster)?.machine).toBe("client");
    expect(metastoreOf(cluster)?.command.slice(-2)).toEqual(["127.0.0.1", "9100"]);
    expect(cluster.spark.conf).toMatchObject({
      "spark.sql.catalogImplementation": "hive",
      [URIS]: "thrift://127.0.0.1:9100",
    });
  });

  test("is open to no group of machines", () => {
    const cluster = define({ ...CLOUD, ...mesosOf(architecture), architecture, metastorePort: 9100 });
    expect(metastoreOf(cluster)).toBeDefined();
    expect(cluster.firewall.filter(({ first, last, what }) => first <= 9100 && last >= 9100 && what !== "ssh")).toEqual(
      [],
    );
  });
});

describe("the catalogue of tables", () => {
  const hiveSite = (raw: Record<string, unknown>): Record<string, unknown> => {
    const content = metastoreOf(define(raw))?.files.find(({ path }) => path.endsWith("/hive-site.xml"))?.content;
    return content?.format === "hadoop-xml" ? content.properties : {};
  };

  test("is none of ours where sparkConf names another, or none", () => {
    for (const sparkConf of [
      { [URIS]: "thrift://hive.example.org:9083" },
      { "spark.sql.catalogImplementation": "in-memory" },
    ]) {
      const cluster = define({ platform: "docker", sparkConf });
      expect(metastoreOf(cluster)).toBeUndefined();
      expect(cluster.spark.conf).toMatchObject(sparkConf);
    }
  });

  test("puts tables where drivers do, and reaches what they reach", () => {
    const warehouse = "hive.metastore.warehouse.dir";
    expect(hiveSite({ platform: "docker" })[warehouse]).toBe("file:/home/spark/work/spark-warehouse");
    const s3 = { s3Endpoint: "https://s3.example.org", s3AccessKey: "key", s3SecretKey: "secret" };
    const all = hiveSite({ platform: "docker", datanodeCount: 1, ...s3 });
    expect(all[warehouse]).toMatch(/^hdfs:.*\/user\/spark\/warehouse$/);
    expect(all["fs.s3a.endpoint"]).toBe("https://s3.example.org");
    // What drivers alone do: refuse writes to their own machine, ask a catalogue.
    expect(Object.keys(all).filter((key) => /^fs\..*file\.impl$|^hive\.metastore\.uris$/.test(key))).toEqual([]);
  });

  test.each(["nfs", "none"])(
    "has the notebooks' folder with sharedStorage %s, and its database in none of theirs",
    (sharedStorage) => {
      const { compose } = renderCompose({
        cluster: define({ platform: "docker", sharedStorage }),
        imageOf: (name) => name,
        secretOf: () => "",
      });
      expect(compose).toContain("client-metastore-var-lib-spark:/var/lib/spark");
      expect(compose.split("client-jupyter-home-spark-work:/home/spark/work").length - 1).toBeGreaterThanOrEqual(2);
      expect(compose.split("client-metastore-var-lib-spark:").length - 1).toBe(2);
    },
  );
});
