/**
 * The Spark of drivers and executors alike, as `images/versions.env` pins it. It is no config: a driver and an executor that
 * differ fail late and in strange ways, and 3.5 is the last line with Mesos.
 */
export const SPARK_VERSION = "3.5.9";
