/**
 * The one table of software versions that are known to work together.
 *
 * A version that is not in this table is refused: a driver and an executor that differ fail late and in strange ways.
 * The images read the same numbers from `images/versions.env`; a test holds the two together.
 */

/** What is known about one Spark release. */
export interface SparkRelease {
  /** Whether Spark still has its Mesos scheduler (removed in 4.0). */
  mesos: boolean;
  /** Whether `images/` pins this release with its digests, so that it can be installed. */
  installable: boolean;
}

/** Known releases of Spark, by version. */
export const SPARK_RELEASES: Readonly<Record<string, SparkRelease>> = {
  "3.5.9": { mesos: true, installable: true },
  "4.0.0": { mesos: false, installable: false },
  "4.0.1": { mesos: false, installable: false },
  "4.1.0": { mesos: false, installable: false },
};

/** Spark versions that a config may name. */
export const installableSpark: string[] = Object.keys(SPARK_RELEASES).filter((v) => SPARK_RELEASES[v]?.installable);

/** ZooKeeper versions that a config may name. */
export const ZOOKEEPER_VERSIONS = ["3.9.5"] as const;

/** Marathon is not versioned here: its image is config (`marathonSource`). Mesos neither (`mesosSource`). */
