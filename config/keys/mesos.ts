import { z } from "zod";
import { section } from "../fields.ts";
import * as text from "../grammar.ts";

const mesos = section("Mesos and Marathon");

/** Keys of the section "Mesos and Marathon". */
export const mesosKeys = {
  executorSource: mesos.oneOf(["hdfs", "http", "local"], "http", {
    doc: "Where executors get Spark from in `vanilla` (`spark.executor.uri`): HDFS, where the client puts it, an HTTP server on the client, or every agent itself. On machines that is `/opt/spark-dist/spark-<version>.tgz`, which the guest image then has to hold; on platform `docker` Spark is in the agents' image. What comes from HDFS or the client is kept by agents for the executors that follow, by Mesos' fetcher cache, and so is what a job names in `spark.mesos.uris`, unless it sets `spark.mesos.fetcherCache.enable` to false.",
  }),
  mesosCgroups: mesos.oneOf(["auto", "1", "2"], "auto", {
    doc: "Version of control groups that agents use where they start tasks in those. `auto`: what `mesosSource` has code for, which is looked up in its library and never guessed from its version; a machine on OpenStack that boots with another reboots into version 1 where only that will do. `1`: machines reboot into version 1 in any case. `2`: none reboots, and a Mesos that knows version 1 alone is refused. This machine's Docker has the version that it has: another is refused before anything is started.",
  }),
  mesosAttributes: mesos.table(
    z.string().regex(text.attributeValue.pattern, text.attributeValue.rule),
    "a table of agent attributes",
    {
      names: text.propertyName,
      doc: "Attributes of every agent, such as {rack: r1}: text of letters, digits and `_/.-`, a range or a set.",
      fix: "give names and values as text, such as {rack: r1}",
    },
  ),
  mesosRole: mesos.text(
    "spark",
    { doc: "Mesos role that Spark registers in." },
    text.shortName.pattern,
    text.shortName.rule,
  ),
  mesosTls: mesos.boolean(false, {
    doc: "Whether Mesos' masters, agents, drivers and Marathon speak TLS with each other, by certificates of the cluster's own authority, and the first three show their pages by HTTPS. Needs a Mesos that was built with SSL, in Marathon's image too. Where the leading master is lost, another leads after some ten seconds; where a message of their log is lost with a connection, the new one gives up after 20 and leaves it to the next. What Spark's own processes send each other is encrypted by `encryption` in any case.",
  }),
  mesosFrameworks: mesos.list(text.shortName.pattern, "names of lower-case letters, digits and dashes", {
    doc: "Other frameworks that may register with Mesos, by name. Each name is a principal with a secret of its own, which the client holds (`/etc/mesos/frameworks/<name>.json`, as Mesos' `--credential` takes it), and the one role that it may register in. Its tasks run as the user `task-<name>`, which agents make, and as no other.",
  }),
  teams: mesos.table(
    z.strictObject({
      cpus: z.int().min(1),
      memoryMiB: z.int().min(512),
      cpusMax: z.int().min(1).optional(),
      memoryMaxMiB: z.int().min(512).optional(),
      weight: z.number().min(0.01).max(1000).default(1),
      users: z.array(z.string()).optional(),
    }),
    "a table such as {ml: {cpus: 40, memoryMiB: 163840, weight: 2}}",
    {
      names: text.shortName,
      doc: "Teams that share the cluster, by name, where Mesos starts executors. `cpus` and `memoryMiB` are kept free for a team whatever the others do (the guarantee of a Mesos quota; agents that are a team's by `agentGroups` count towards it); of what nobody has a guarantee for, teams get parts in proportion to `weight` (default 1). `cpusMax` and `memoryMaxMiB` bound what the jobs of a team have together. A driver belongs to the team that `TRIPLEWIDE_TEAM` names: it registers in the Mesos role of that name with a principal and secret of its own. Without it and without `defaultTeam`, it is in `mesosRole`, which has no guarantee (`TRIPLEWIDE_TEAM=spark` says so). `users` names those of the hub (`notebooks: hub`) whose jobs are in the team's role, each by a principal and secret of their own; those of no team are in the role of `defaultTeam`, and without it in `mesosRole`. `up` sets the numbers, and a change of them changes no machine; a new team, and another user in one, replaces masters and client.",
      fix: "give whole numbers for cpus and memoryMiB (MiB), and where wanted cpusMax, memoryMaxMiB, weight and users, a list of names",
    },
  ),
  defaultTeam: mesos.optionalText(
    { doc: "Team of drivers that name none, one of `teams`.", derived: "no team: `mesosRole`" },
    text.shortName.pattern,
    "the name of a team",
  ),
  taskImages: mesos.list(text.taggedImage.pattern, text.taggedImage.rule, {
    doc: "Images that tasks of other frameworks may run in beside the cluster's own, where agents start containers (`docker-executors`, `marathon-standalone`), exactly as the tasks name them. Agents refuse others, and containers whose user is root.",
  }),
  taskVolumes: mesos.list(text.taskFolder.pattern, text.taskFolder.rule, {
    doc: "Folders of agents that containers of tasks may have, of whatever framework, beside those that Spark itself needs. Agents refuse others.",
  }),
  marathonWorkers: mesos.optionalInteger(0, 2000, {
    doc: "Spark workers that Marathon keeps running (`marathon-standalone`), at most one on each agent. Another number starts or ends workers and changes no machine.",
    derived: "one on every agent",
  }),
} as const;
