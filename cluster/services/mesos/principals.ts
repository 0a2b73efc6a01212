/** Who may do what in Mesos: each principal has a secret of its own. */
export const PRINCIPALS = {
  agent: "agent",
  spark: "spark",
  marathon: "marathon",
  admin: "admin",
  /** The gateway, which shows Mesos' pages: it may do nothing. */
  viewer: "viewer",
} as const;

/** The principal of a user of the hub. No team and no framework is called so. */
export const userPrincipal = (user: string): string => `user.${user}`;

/** Names of secrets in Mesos' name that are no principal's. */
const OTHER_LOGINS = ["agent-http"] as const;

/** User of the machines that Spark's tasks, and those of Marathon, run as. */
export const SPARK_TASK_USER = "spark";

/** User of the machines that the tasks of a framework of the config run as: its own, and no name that a machine has already. */
export const taskUser = (framework: string): string => `task-${framework}`;

/** Principals of Mesos' own parts, of Spark and of Marathon, and what else has a secret in Mesos' name. */
export const RESERVED_PRINCIPALS = [...Object.values<string>(PRINCIPALS), ...OTHER_LOGINS].sort();
