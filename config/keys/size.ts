import { z } from "zod";
import { section } from "../fields.ts";
import * as text from "../grammar.ts";

const size = section("Size");

/** Keys of the section "Size". */
export const sizeKeys = {
  masterCount: size.quorum(1, {
    doc: "Machines that hold the masters (Spark's own in `standalone`, Mesos' elsewhere). 1 for a try, 3 to survive the loss of one. More than one needs ZooKeeper, which is then added.",
  }),
  zookeeperCount: size.optionalQuorum({
    doc: "Members of the ZooKeeper ensemble. The quorum follows from it and is never configured.",
    derived: "none where nothing needs ZooKeeper; else 1 with one master and 3 with more",
  }),
  zookeeperPlacement: size.oneOf(["masters", "own"], "masters", {
    doc: "Whether ZooKeeper lives beside the masters or on machines of its own.",
  }),
  agentCount: size.integer(1, 2000, 2, {
    doc: "Machines that run executors: Mesos agents, or Spark workers where there is no Mesos.",
    fix: "use at least 1: a cluster without agents runs no job",
  }),
  agentsMin: size.optionalInteger(1, 2000, {
    doc: "Least number of those agents where `triplewide scale` decides how many there are, by `hours` and by what runs, in every architecture but `marathon-standalone`; needs `agentsMax`. `agentCount` is then what a first `up` makes, and every other `up` keeps the agents that there are: docs/OPERATIONS.md.",
    derived: "there are `agentCount` agents",
  }),
  agentsMax: size.optionalInteger(1, 2000, {
    doc: "Greatest number of those agents; needs `agentsMin`. A lower one removes agents with the next `triplewide scale`, those on which nothing runs. Another one makes the client anew, which tells jobs their part of what there may be.",
    derived: "there are `agentCount` agents",
  }),
  hours: size.table(z.int().min(1).max(2000), "a table such as {'Mon-Fri 08:00-18:00': 4}", {
    names: text.weekHours,
    doc: "Times of the week, in `timeZone`, at which there are more agents than `agentsMin` whether or not something runs: days and hours, and the least number then. `Fri 22:00-06:00` ends on Saturday morning, `daily 00:00-24:00` is always; where several hold, the greatest number counts. Clocks that change change it as they show: an hour that is skipped is left out, one that comes twice counts twice.",
    fix: "give days and hours such as 'Mon-Fri 08:00-18:00', 'Sat,Sun 10:00-14:00' or 'daily 22:00-02:00', and a number of agents for each",
  }),
  idleMinutes: size.integer(0, 525600, 30, {
    doc: "Minutes for which nothing must have run on an agent before `triplewide scale` takes it away.",
  }),
  ttlHours: size.optionalInteger(1, 8760, {
    doc: "Hours after the last `up` at which `triplewide scale` ends the cluster: its machines or containers go, and its volumes, addresses and secrets stay, so that another `up` brings it back with its data. It warns first, for a quarter of these hours, a day at most: in notebooks, on the gateway's first page, and where `scale` runs; another `up` gives it `ttlHours` anew.",
    derived: "the cluster stays until somebody takes it down",
  }),
  agentGroups: size.table(
    z.strictObject({
      count: z.int().min(0).max(2000),
      flavor: z.string().regex(text.cloudName.pattern, text.cloudName.rule).optional(),
      cpus: z.int().min(1).max(1024).optional(),
      memoryMiB: z.int().min(512).max(4194304).optional(),
      attributes: z
        .record(
          z.string().regex(text.propertyName.pattern, text.propertyName.rule),
          z.string().regex(text.attributeValue.pattern, text.attributeValue.rule),
        )
        .default({}),
      addressBlock: z.int().min(1).max(16).optional(),
      team: z.string().regex(text.shortName.pattern).optional(),
      gpus: z.array(z.string().regex(text.device.pattern, text.device.rule)).max(64).default([]),
      devices: z.array(z.string().regex(text.device.pattern, text.device.rule)).max(64).default([]),
    }),
    "a table such as {big: {count: 2, flavor: m1.xlarge, attributes: {disk: ssd}}}",
    {
      names: { pattern: /^[a-z][a-z0-9]{0,11}$/, rule: "a name of lower-case letters and digits, at most 12" },
      doc: "Further groups of agents that differ from the `agentCount` others, by name: `count` machines `agent-<name>-1` and so on, their `flavor` (unset: `agentFlavor`), what each offers (`cpus`, `memoryMiB`, as `agentCpus` and `agentMemoryMiB`), and Mesos `attributes`. Every agent of a group has the attribute `group:<name>` as well: `spark.mesos.constraints=group:big` places a job's executors there. A group's addresses begin in the upper half of the network, in one of 16 blocks that follows from its name, or is `addressBlock`. `team` keeps the group for one of `teams`: its jobs run there as well as on the others, and nobody else's do (a Mesos reservation). `gpus` are the devices of an agent's GPUs, such as `/dev/nvidia0`, in architecture `standalone`: its executors have them, and Spark gives them to the tasks that ask for some (docs/SHARING.md); `devices` are others that their drivers need, such as `/dev/nvidiactl`. Taking a group out removes its agents and changes no other machine.",
      fix: "give count for each group, and where wanted flavor, cpus, memoryMiB, attributes, addressBlock, team, gpus and devices",
    },
  ),
  removedAgents: size.list(/^agent-([a-z][a-z0-9]{0,11}-)?[1-9][0-9]*$/, "agent names such as agent-7 or agent-big-2", {
    doc: "Agents taken out by name. Their names are never used again, and no other agent changes: to remove `agent-7` from 10 agents, name it here and set `agentCount` to 9. Leave `agentCount` at 10 and `agent-11` replaces it.",
  }),
  datanodeCount: size.integer(0, 500, 0, {
    doc: "HDFS datanodes, on machines of their own with data volumes. 0: no HDFS.",
  }),
  namenodeCount: size.integer(1, 2, 1, {
    doc: "HDFS namenodes, on the first masters. 2 gives automatic failover through ZooKeeper and three JournalNodes on the masters; needs 3 masters or more.",
  }),
  existingNamenodes: size.list(text.host.pattern, text.host.rule, {
    doc: "Namenodes of an HDFS that is there already, to be used where the cluster has none of its own (`datanodeCount: 0`): one, or an active one and its standby, by names or addresses that agents and client reach. `namenodePort` and `namenodeUiPort` are theirs; users are told apart by name alone, and Spark's is `spark`. With `executorSource: hdfs` agents read over WebHDFS, so the names of its datanodes must be known to them as well.",
  }),
} as const;
