/** Tests of this project on a real Mesos: which were run, where, and with what result. */

/** One run of a test on a real Mesos. */
export interface MesosRun {
  date: string;
  /** Version, and who built it. */
  mesos: string;
  /** System, Docker, version of control groups. */
  where: string;
  /** Name of the test, in the layer `mesos`, or with the folder of another. */
  test: string;
  /** What of it, in words. */
  what: string;
  /** What passed. */
  passed: string;
}

/** The Mesos that the tests here are run with. */
const OWN_BUILD = {
  mesos: "1.11.0, own build",
  where: "Debian 12 in Docker 20.10, amd64, control groups version 1",
} as const;
const LATER = "1.11.1, own build";
/** Machines that have no cloud below them. */
const ON_GUESTS =
  "containers with systemd and cloud-init in place of OpenStack's machines: Debian 12, amd64, control groups version 1";

/** What of this project was run on which Mesos, and where; the oldest first. A test that changes much is to be run anew. */
export const MESOS_RUNS: readonly MesosRun[] = [
  {
    date: "2026-11-26",
    ...OWN_BUILD,
    test: "teams",
    what: "`mesos-in-docker`, three masters: teams, quotas, weights, another team's role, failover",
    passed: "all, the step in which teams are taken out by hand",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    test: "teams",
    what: "the same, and teams taken out",
    passed: "all 8 (on 2 cores with a load above 70, jobs of 60 s had not ended in 400 s)",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    test: "teams",
    what: "the step with agents that are a team's own, beside other work",
    passed: "that one",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    test: "hub/mesos",
    what: "`docker-executors` and `mesos-in-docker`: users of a hub in their teams' roles, against each other",
    passed: "all 5 in each",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    mesos: LATER,
    test: "docker-executors",
    what: "three masters: jobs, what tasks may not have, forged messages, faults, drain, a restart of everything",
    passed: "all 32",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    mesos: LATER,
    test: "tls",
    what: "`vanilla`, three masters with `mesosTls`: jobs, drivers of two users of a hub, nothing readable on the network, a master lost, drain; `docker-executors`: the smoke job",
    passed: "all 6, and that",
  },
  {
    date: "2026-11-27",
    ...OWN_BUILD,
    mesos: LATER,
    test: "scale/mesos",
    what: "`vanilla`: agents come and go by what jobs wait for; by hand in `docker-executors` and `mesos-in-docker`",
    passed: "all 5, and that",
  },
  {
    date: "2026-11-27",
    mesos: LATER,
    where: ON_GUESTS,
    test: "hub/mesos-machine",
    what: "`docker-executors`, booted from user data: users of a hub in their teams' roles, against each other, drain by SSH",
    passed: "all 11, in two runs",
  },
  {
    date: "2026-11-27",
    mesos: LATER,
    where: ON_GUESTS,
    test: "machine",
    what: "`vanilla` with `mesosTls`, one master and two agents, booted from user data: nothing readable on the network; drain and `triplewide scale` by SSH; every secret replaced, volumes kept",
    passed: "all 6",
  },
  {
    date: "2026-11-27",
    mesos: LATER,
    where: ON_GUESTS,
    test: "machine",
    what: "tasks of two drivers on one agent against each other, an agent restarted under tasks, drain; by hand an agent in a container that is no machine, which keeps its task over a restart",
    passed: "all of these steps, and that",
  },
  {
    date: "2026-11-28",
    ...OWN_BUILD,
    mesos: LATER,
    test: "vanilla",
    what: "three masters: jobs, faults, drain, HDFS, forged messages, Spark's secret, every secret replaced while it runs",
    passed: "all 27",
  },
  {
    date: "2026-11-28",
    ...OWN_BUILD,
    mesos: LATER,
    test: "mesos-in-docker",
    what: "three masters: jobs, faults, drain, forged messages, a restart of everything, dynamic allocation",
    passed: "all 18",
  },
  {
    date: "2026-11-28",
    ...OWN_BUILD,
    mesos: LATER,
    test: "hub/mesos",
    what: "`docker-executors`: users of a hub in their teams' roles, against each other",
    passed: "all 5",
  },
  {
    date: "2026-11-28",
    ...OWN_BUILD,
    mesos: LATER,
    test: "marathon-standalone",
    what: "three masters, with Marathon built from the last commit of its sources (July 2021): jobs, apps, faults, drain, other logins, a restart of everything, more and fewer workers, dynamic allocation; by hand, with one master, every secret replaced, and `mesosTls`",
    passed: "all 21, two of them in a second run (load above 40 and other code in the first), and that",
  },
  {
    date: "2026-11-28",
    ...OWN_BUILD,
    mesos: LATER,
    where: ON_GUESTS,
    test: "marathon-machine",
    what: "`marathon-standalone`, one master and two agents, booted from user data, with the same Marathon, which gets its apps by SSH through the bastion: a job, a worker killed in mid-job, an agent and Marathon restarted; with and without `mesosTls`",
    passed: "all 7 without; with it 5, two had faults of the test's own",
  },
  {
    date: "2026-11-28",
    ...OWN_BUILD,
    mesos: LATER,
    where: ON_GUESTS,
    test: "in-docker-machine",
    what: "`mesos-in-docker` with `mesosTls`, one master and two agents, booted from user data: a job, an agent's and the master's container killed in mid-job, drain by SSH",
    passed: "all 4",
  },
];

/** What nobody has run so far. */
export const NOT_RUN = [
  "a published image or package, Marathon's among them: none could be pulled where the tests were run",
  "Marathon's own web page, which its sources do not hold",
  "control groups version 2, and any machine but amd64",
];
