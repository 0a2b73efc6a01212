import { z } from "zod";
import { section } from "../fields.ts";
import * as text from "../grammar.ts";

const machine = section("Machines (OpenStack)");

/** Keys of the section "Machines (OpenStack)". */
export const machineKeys = {
  image: machine.optionalText(
    {
      userMustSet: true,
      doc: "Guest image, by name or id: Debian 12 or 13 (`vanilla`: 12), with cloud-init. Ubuntu 22.04 and later is let through; no test has booted it. A name is looked up when the cluster is made and means that image from then on: where the cloud gives the name to a newer one, the preview says so, and the newer one's id here moves every machine to it.",
      fix: "name an image: openstack image list",
    },
    text.cloudName.pattern,
    text.cloudName.rule,
  ),
  sshUser: machine.text("debian", { doc: "The image's login user." }, text.guestUser.pattern, text.guestUser.rule),
  masterFlavor: machine.optionalText(
    {
      userMustSet: true,
      doc: "Flavor of the masters, and of every machine that has no flavor of its own.",
      fix: "name a flavor: openstack flavor list",
    },
    text.cloudName.pattern,
    text.cloudName.rule,
  ),
  agentFlavor: machine.optionalText(
    {
      userMustSet: true,
      doc: "Flavor of the agents, and of the HDFS datanodes.",
      fix: "name a flavor: openstack flavor list",
    },
    text.cloudName.pattern,
    text.cloudName.rule,
  ),
  clientFlavor: machine.optionalText(
    {
      doc: "Flavor of the client (Jupyter, Spark drivers).",
      derived: "`masterFlavor`",
    },
    text.cloudName.pattern,
    text.cloudName.rule,
  ),
  bastionFlavor: machine.optionalText(
    { doc: "Flavor of the bastion.", derived: "`masterFlavor`" },
    text.cloudName.pattern,
    text.cloudName.rule,
  ),
  flavorSizes: machine.table(
    z.strictObject({ vcpus: z.int().min(1), ramMiB: z.int().min(64) }),
    "a table such as {m1.large: {vcpus: 4, ramMiB: 8192}}",
    {
      names: text.cloudName,
      doc: "Sizes of the flavors named above, so that `plan` can total vCPUs and RAM without asking the cloud. The sizes that the cloud reports are what counts before anything is created.",
      fix: "give vcpus and ramMiB (MiB) for each flavor name, as whole numbers",
    },
  ),
  prices: machine.table(z.number().min(0).max(1_000_000), "a table such as {m1.large: 0.12, volumeGb: 0.0001}", {
    names: text.cloudName,
    doc: "What things cost by the hour, in `currency`: a machine by the name of its flavor, one GB of a volume as `volumeGb`, one of a share as `shareGb`, a floating IP as `floatingIp`. Objects of an object store are not counted. With a price for every flavor above, `plan` and the gateway's first page say what the cluster costs by the day; what has no price counts as free.",
    fix: "give a price by the hour, as a number, for each flavor name",
  }),
  currency: machine.text("EUR", { doc: "Currency of `prices`." }, /^[A-Z]{3}$/, "three capital letters such as EUR"),
  availabilityZones: machine.list(text.cloudName.pattern, "availability zone names", {
    doc: "Availability zones over which each group of machines is spread evenly. With several masters and `antiAffinity: hard`, two zones are refused: the loss of one could take the majority.",
    derived: "the cloud's default zone",
  }),
  bootVolumeGb: machine.optionalInteger(1, 16384, {
    doc: "GB of a Cinder volume of `volumeType` that each machine boots from, made from the image and deleted with the machine: for clouds whose flavors have no disk, or that boot from volumes only.",
    derived: "machines boot from their flavor's disk",
  }),
  configDrive: machine.boolean(false, {
    doc: "Whether machines get their user data, address and keys by a config drive: for clouds without a metadata service, or subnets without DHCP.",
  }),
  keyPair: machine.optionalText(
    {
      doc: "Name of an existing Nova key pair.",
      derived: "a key pair made for the cluster; its private key is a secret output",
    },
    text.cloudName.pattern,
    text.cloudName.rule,
  ),
  bastion: machine.boolean(true, {
    doc: "Whether a small machine with the one public address is made. Without it the program must reach the private network some other way (a VPN, or run inside it).",
  }),
  antiAffinity: machine.oneOf(["hard", "soft", "none"], "hard", {
    doc: "Whether members of a quorum must (`hard`) or should (`soft`) sit on different hypervisors. `hard` needs as many hypervisors as there are masters (or ZooKeepers on machines of their own), which only the cloud knows: the update fails at the machine that finds no place, and says so. Agents are always spread softly unless `none`.",
  }),
} as const;
