import { expect, test } from "vitest";
import { architectureOf } from "../../cluster/architectures/index.ts";
import { describeCluster, validate } from "../../cluster/load.ts";
import { credentials, EXECUTOR_SECRET } from "../../cluster/services/spark/executor-secret.ts";
import { secretsIn } from "../../cluster/values.ts";
import { ARCHITECTURES } from "../../config/schema.ts";
import { CLOUD, mesosOf } from "../fixtures/configs.ts";

const onMesos = ARCHITECTURES.filter((architecture) => architectureOf({ architecture }).executorsStartedBy === "mesos");

test("the file is what Hadoop's own Credentials write", () => {
  // Hadoop 3.3.4: addSecretKey("sparkCookie", …), writeTokenStorageToStream(…, SerializedFormat.PROTOBUF).
  const byHadoop =
    "484454530131122f0a0b737061726b436f6f6b69651a203031323334353637383961626364656630313233343536373839414243444546";
  expect(Buffer.from(credentials("0123456789abcdef0123456789ABCDEF")).toString("hex")).toBe(byHadoop);
});

test.each(onMesos)(
  "%s: a driver asks Mesos for executors without the secret, which agents give them by a file",
  (architecture) => {
    const { spark, services } = describeCluster(validate({ ...CLOUD, ...mesosOf(architecture), architecture }, "test"));
    // Settings that the driver sends to Mesos with a task.
    const ofTask = Object.entries(spark.conf).filter(([name]) => /^spark\.(executorEnv|mesos\.executor)\./.test(name));
    expect(ofTask.length).toBeGreaterThan(2);
    expect(secretsIn(Object.fromEntries(ofTask))).toEqual([]);
    expect(spark.conf["spark.executorEnv.HADOOP_TOKEN_FILE_LOCATION"]).toBe(EXECUTOR_SECRET);
    const agent = services.find(({ name }) => name === "mesos-agent");
    const file = agent?.files.find(({ path }) => path === EXECUTOR_SECRET);
    expect(secretsIn(file)).toEqual(["spark-auth"]);
    expect(file).toMatchObject({ mode: "0600", uid: 1000 });
  },
);
