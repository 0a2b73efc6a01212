import { section } from "../fields.ts";
import * as text from "../grammar.ts";

export const ARCHITECTURES = [
  "standalone",
  "vanilla",
  "docker-executors",
  "mesos-in-docker",
  "marathon-standalone",
] as const;
/** Name of an architecture. */
export type Architecture = (typeof ARCHITECTURES)[number];

const general = section("General");

/** Keys of the section "General". */
export const generalKeys = {
  architecture: general.oneOf(ARCHITECTURES, "standalone", {
    doc: "Which of the five ways Spark runs. The README has a picture of each.",
  }),
  platform: general.oneOf(["openstack", "docker"], "openstack", {
    doc: "Where the cluster runs: machines of an OpenStack project (`pulumi up`) or this machine's Docker (`make up`).",
  }),
  clusterName: general.optionalText(
    {
      doc: "Prefix of every name the cluster makes: machines, networks, containers.",
      derived: "the environment's name",
      fix: "use lower-case letters, digits and dashes, starting with a letter, at most 20 characters",
    },
    text.shortName.pattern,
    "a name of lower-case letters, digits and dashes, at most 20 characters",
  ),

  timeZone: general.text(
    "UTC",
    {
      doc: "Time zone of drivers, executors and Spark's daemons, of their JVMs and their Python alike: what a timestamp without a zone means, and what logs show.",
      fix: "name a zone of the IANA list, such as Europe/Berlin",
    },
    /^[A-Z][A-Za-z0-9_+-]*(\/[A-Z][A-Za-z0-9_+-]*){0,2}$/,
    "the name of a time zone such as Europe/Berlin",
  ),
} as const;
