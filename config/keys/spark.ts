import { z } from "zod";
import { section } from "../fields.ts";
import * as text from "../grammar.ts";

const spark = section("Spark");

/** Keys of the section "Spark". */
export const sparkKeys = {
  agentCpus: spark.optionalInteger(0, 1024, {
    doc: "Cores that one agent offers. Marathon has to name a number for a Spark worker (`marathon-standalone`): where this is unset, it is the agent flavor's in `flavorSizes`, else one executor's.",
    derived: "all that it has",
  }),
  agentMemoryMiB: spark.optionalInteger(0, 4194304, {
    doc: "MiB of memory that one agent offers to executors, for their heap and what they need beside it. Unset in `marathon-standalone`: as with `agentCpus`, the size of `flavorSizes`, else one executor's.",
    derived:
      "the size of `flavorSizes` less what the system and the daemons take, else all that it has, less the system's share",
  }),
  executorCores: spark.optionalInteger(0, 1024, {
    doc: "Cores of one executor.",
    derived:
      "with `dynamicAllocation` so many that the executors which fit an agent's memory take all of its cores, 1 where its size is not known; else Spark's own default",
  }),
  executorMemoryMiB: spark.integer(512, 4194304, 1024, { doc: "MiB of heap of one executor." }),
  executorMemoryOverheadMiB: spark.optionalInteger(0, 4194304, {
    doc: "MiB of one executor beside its heap: the JVM's own, its Python workers, and what pandas and Arrow hold. Heap and this together are what an executor takes of its agent; one that takes more is ended.",
    derived: "40 % of `executorMemoryMiB`, at least 1024",
  }),
  driverMemoryMiB: spark.integer(512, 4194304, 1024, { doc: "MiB of heap of a driver on the client." }),
  coresMax: spark.optionalInteger(0, 1000000, {
    doc: "Cores that one job may take (`spark.cores.max`), so that several jobs share the cluster. A job may ask for another number.",
    derived: "half of the cores that there are when a job starts, but one executor on each agent at least",
  }),
  dynamicAllocation: spark.boolean(true, {
    doc: "Whether jobs grow and shrink with their work: an executor that is idle for 60 s (1,800 s where it holds cached data) is given back to other jobs. Adds the external shuffle service to every agent.",
  }),
  encryption: spark.boolean(true, {
    doc: "Whether what Spark's processes send each other is encrypted (AES in GCM), and where Spark's own workers start executors, what jobs leave on disks while they run as well: Spark cannot do the latter on Mesos. Results that jobs write are not encrypted: those are files of yours.",
  }),
  idleKernelMinutes: spark.integer(0, 525600, 720, {
    doc: "Minutes after which a notebook's kernel that runs no cell is ended, with its driver and what it holds; an open browser does not count as use. 0 is never.",
  }),
  notebooks: spark.oneOf(["single", "hub"], "single", {
    doc: "`single`: one notebook server, for everyone who has the cluster's password. `hub`: JupyterHub as well (`hubPort`), which starts a notebook server for each of `users`, in a container of its own with a folder, user id, address, memory and cores of its own: docs/SHARING.md. Not with `sharedStorage: manila`, and in `vanilla` on OpenStack with `sharedStorage: none` alone.",
  }),
  users: spark.table(
    z.strictObject({
      admin: z.boolean().default(false),
      login: z.string().regex(text.identity.pattern, text.identity.rule).optional(),
    }),
    "a table such as {alice: {}, bob: {admin: true}}",
    {
      names: text.hubUser,
      doc: "Who may log in to the hub (`notebooks: hub`), by name. Each gets a password (`triplewide users`) and may choose another. With `admin` somebody may also start, end and open the servers of the others. Whoever is taken out is logged out, and their files stay. `login` is what `oidcClaim` holds for somebody whom the OpenID provider calls otherwise.",
      fix: "give each user a table, empty or with admin and login, such as {alice: {}, bob: {admin: true}}",
    },
  ),
  oidcIssuer: spark.optionalText(
    {
      doc: "OpenID provider by which `users` log in to the hub, instead of by passwords: Keycloak, Dex, Entra ID, or any other that has `<issuer>/.well-known/openid-configuration`. The hub and people's browsers must reach it, the hub without `httpProxy`. Where its certificate is not one of the public authorities', `trustedCertificates`.",
      derived: "passwords",
      fix: "give the provider's issuer as it names itself, such as https://login.example.org/realms/lab, with oidcClientId and oidcClientSecret",
    },
    text.issuer.pattern,
    text.issuer.rule,
  ),
  oidcClientId: spark.optionalText(
    {
      doc: "What the provider of `oidcIssuer` knows the hub as. Its redirect address there is the hub's own with `/hub/oauth_callback`, which `triplewide users` prints. Its secret is the secret key `oidcClientSecret`.",
    },
    text.identity.pattern,
    text.identity.rule,
  ),
  oidcClientSecret: spark.optionalSecret({
    doc: "Secret of `oidcClientId`; set it with `pulumi config set --secret oidcClientSecret`. It is on the client, and no user's server has it. `make up` cannot decrypt: give it the value itself, in an environment file that is not committed.",
  }),
  oidcClaim: spark.text(
    "preferred_username",
    {
      doc: "What of the provider's answer says who of `users` somebody is: their name there, or their `login`. Take one that people cannot change themselves. An `email` counts only where the provider says that it is verified (`email_verified`).",
    },
    /^[A-Za-z_][A-Za-z0-9_.:/-]{0,63}$/,
    "a name of letters, digits and _ . : / -",
  ),
  notebookMemoryMiB: spark.integer(1536, 4194304, 4096, {
    doc: "MiB of memory that a user's notebook server of the hub may take with all that runs in it: kernels, and their Spark drivers.",
  }),
  notebookCpus: spark.integer(1, 1024, 2, {
    doc: "Cores that a user's notebook server of the hub may take. Where the client has fewer, those.",
  }),
  historyServer: spark.boolean(false, {
    doc: "Whether event logs are kept and the history server runs on the client. Needs HDFS (`datanodeCount`, `existingNamenodes`) so that every driver can write there.",
  }),
  sparkConnect: spark.boolean(false, {
    doc: "Whether the client runs the server of Spark Connect, which Python programs on other computers use with `pip install pyspark[connect]` and without Java: docs/CONNECT.md. It is one more driver that all of them share, and asks for a token. `prebuiltImages` are to be built with `CONNECT=jars images/build.sh`.",
  }),
  objectStore: spark.oneOf(["none", "swift"], "none", {
    doc: "Whether the cluster makes a container in the cloud's own object store (Swift, or Ceph with Swift's API), `<clusterName>-data`, and a key for its S3 interface: `s3a://<clusterName>-data/…` then works in every notebook and job. `swift`: OpenStack only, and instead of `s3Endpoint`. The container goes with the cluster, and all objects in it, unless `protectData`. Whoever has the client has the key, which reaches whatever its owner, the user that runs `pulumi up`, reaches in the project: docs/SECURITY.md. `prebuiltImages` are to be built with `S3=jars images/build.sh`.",
  }),
  s3Endpoint: spark.optionalText(
    {
      doc: "Object store that `s3a://bucket/…` paths lead to: S3 or whatever speaks it, such as Swift with its S3 interface (`openstack ec2 credentials create` gives its keys) or Ceph. The images of the cluster then hold the jars for it; `prebuiltImages` are to be built with `S3=jars images/build.sh`. Where its certificate is not one of the public authorities', `trustedCertificates`.",
      derived: "no object store",
      fix: "give the address of the S3 interface, such as https://object-store.example.org, with s3AccessKey and s3SecretKey",
    },
    /^https?:\/\/[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?\/?$/,
    "an http(s) address without a path, or empty",
  ),
  s3AccessKey: spark.optionalText(
    { doc: "Access key for `s3Endpoint`. Its secret is the secret key `s3SecretKey`." },
    text.accessKey.pattern,
    text.accessKey.rule,
  ),
  s3SecretKey: spark.optionalSecret({
    doc: "Secret of `s3AccessKey`; set it with `pulumi config set --secret s3SecretKey`. It is on the client, and drivers hand it to their executors. `make up` cannot decrypt: give it the value itself, in an environment file that is not committed.",
  }),
  sparkConf: spark.table(
    z.string().regex(text.propertyValue.pattern, text.propertyValue.rule),
    "a table of Spark properties",
    {
      names: text.propertyName,
      doc: "Further Spark properties. Each goes to those that read it: `spark.worker.*` to workers, `spark.deploy.*` and `spark.master.*` to masters, `spark.shuffle.*` to drivers and shuffle services, `spark.history.*` to the history server, `spark.ui.*` to all that have pages, and what both ends of a connection must agree on (`spark.network.*`, `spark.rpc.*`) to everyone; all others to drivers and by them to executors. They win over what the cluster derives. A property that can have no effect, or that a config key or the cluster itself sets, is refused with what to set instead.",
      fix: "give property names and values as text of one line, such as {spark.sql.shuffle.partitions: '64'}",
    },
  ),
} as const;
