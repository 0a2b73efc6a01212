import { zookeeperSecret } from "../../secret-names.ts";
import { secret, type Template, text } from "../../values.ts";

/** What the cluster keeps in ZooKeeper: each part below a znode of its own, which only who logs in as its owner writes. */
export interface Znode {
  path: string;
  user: string;
  password: Template;
  /** Whether everyone reads it. Who looks for Mesos' leader holds no password. */
  readable: boolean;
  /** Whether its owner makes it before it looks whether it is there, and so must be let into `/`. @default false */
  maker?: true;
}

const znode = (path: string, user: string, readable: boolean): Znode => ({
  path,
  user,
  password: secret(zookeeperSecret(user)),
  readable,
});

/** Where Mesos' masters elect their leader. */
export const MESOS_ZNODE = znode("/mesos", "mesos", true);
/** Where Marathon keeps its apps. */
export const MARATHON_ZNODE = znode("/marathon", "marathon", true);
/** Where Spark's masters keep workers and applications. */
export const SPARK_ZNODE = znode("/spark", "spark", false);
/** Where HDFS' failover controllers elect the active namenode. */
export const HDFS_ZNODE: Znode = { ...znode("/hadoop-ha", "hdfs", false), maker: true };

/** `user:password`. */
export const loginOf = ({ user, password }: Znode): Template => text`${user}:${password}`;
