import { section } from "../fields.ts";
import * as text from "../grammar.ts";

const storage = section("Storage");

/** Keys of the section "Storage". */
export const storageKeys = {
  dataVolumes: storage.boolean(true, {
    doc: "Whether machines that keep state get a Cinder volume. Without, state lies on the machine's own disk and is lost when the machine is replaced; the preview says for which machines.",
  }),
  sharedStorage: storage.oneOf(["nfs", "manila", "none"], "nfs", {
    doc: "Whether the folder that notebooks work in, `/home/spark/work`, is on every executor too, at the same path and with the same owner: then relative paths, uploaded files, `write.parquet(\"out\")` and `saveAsTable` mean the same to drivers and executors. `nfs`: on OpenStack the client serves it, from its data volume, to the agents alone; on platform `docker` it is a volume of this machine's Docker. `manila` (OpenStack): a share of the cloud's own service, exported to the client and the agents. `none`: each has a folder of its own.",
  }),
  shareGb: storage.integer(1, 65536, 100, {
    doc: "GB of the share of `sharedStorage: manila`. A larger one is resized in place.",
  }),
  shareType: storage.optionalText(
    {
      doc: "Manila share type of `sharedStorage: manila`, which must have NFS. Another one makes a new, empty share.",
      derived: "the cloud's default type",
    },
    text.cloudName.pattern,
    text.cloudName.rule,
  ),
  volumeType: storage.optionalText(
    { doc: "Cinder volume type.", derived: "the cloud's default type" },
    text.cloudName.pattern,
    text.cloudName.rule,
  ),
  volumeZones: storage.list(text.cloudName.pattern, "availability zone names", {
    doc: "Availability zones of Cinder for the data volumes, one for each of `availabilityZones` in their order: for clouds where a machine can have volumes of its own zone only. A volume stays in the zone that it was made in.",
    derived: "Cinder's default zone",
  }),
  masterVolumeGb: storage.integer(1, 16384, 10, {
    doc: "GB of a master's volume: ZooKeeper, Mesos' replicated log, namenode.",
  }),
  datanodeVolumeGb: storage.integer(1, 65536, 100, { doc: "GB of a datanode's volume." }),
  clientVolumeGb: storage.integer(1, 65536, 20, { doc: "GB of the client's volume: notebooks." }),
  scratchGb: storage.optionalInteger(1, 65536, {
    doc: "GB of a volume of each agent's own for what jobs leave on disks while they run: shuffles, spilled data, cached blocks. It is made and deleted with its agent. On platform `docker` this lies where Docker keeps its volumes, and the key has no effect.",
    derived: "the machine's own disk",
  }),
  registryVolumeGb: storage.integer(1, 16384, 20, { doc: "GB of the image registry's volume." }),
  protectData: storage.boolean(false, {
    doc: "Whether data volumes, the containers of `objectStore` and the share of `sharedStorage: manila` outlive `pulumi destroy`. When true, destroy refuses and says so before it touches anything.",
  }),
} as const;
