/** Who may do what in Mesos: each principal has a secret of its own. */
export const PRINCIPALS = { agent: "agent", spark: "spark", marathon: "marathon", admin: "admin" } as const;

/** Names of secrets in Mesos' name that are no principal's. */
export const OTHER_LOGINS = ["agent-http"] as const;
