import { z } from "zod";
import { section } from "./fields.ts";
import * as text from "./grammar.ts";

/**
 * Every config key, once. Keys are flat and camelCase so that `pulumi config set <key> <value>` is pleasant.
 * A stack file writes an unset text or number as `""` or `0`, because Pulumi has no "absent" for a declared key; here it is
 * `undefined`. A list that is unset is empty.
 */

export const ARCHITECTURES = [
  "standalone",
  "vanilla",
  "docker-executors",
  "mesos-in-docker",
  "marathon-standalone",
] as const;
/** Name of an architecture. */
export type Architecture = (typeof ARCHITECTURES)[number];

const NAME = /^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$/;
/** A user of the hub, who must not be one of the image's as well. */
const USER =
  /^(?!(root|hdfs|daemon|bin|sys|sync|games|man|lp|mail|news|uucp|proxy|www-data|backup|list|irc|nobody|spark|hub|caddy|gateway|systemd.*)$)[a-z]([a-z0-9-]{0,18}[a-z0-9])?$/;
const IDENTIFIER = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

const general = section("General");
const size = section("Size");
const machine = section("Machines (OpenStack)");
const network = section("Network");
const storage = section("Storage");
const software = section("Software and where it comes from");
const spark = section("Spark");
const mesos = section("Mesos and Marathon");
const ports = section("Ports");
const operation = section("Operation");

export const shape = {
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
    NAME,
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
      team: z.string().regex(NAME).optional(),
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

  image: machine.optionalText(
    {
      userMustSet: true,
      doc: "Guest image, by name or id: Debian 12 or 13 (`vanilla`: 12), with cloud-init. Ubuntu 22.04 and later is let through; no test has booted it. A name is looked up when the cluster is made and means that image from then on: where the cloud gives the name to a newer one, the preview says so, and the newer one's id here moves every machine to it.",
      fix: "name an image: openstack image list",
    },
    text.cloudName.pattern,
    text.cloudName.rule,
  ),
  sshUser: machine.text(
    "debian",
    { doc: "The image's login user." },
    IDENTIFIER,
    "a user name of letters, digits, dots, dashes and underscores",
  ),
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

  networkCidr: network.cidr("10.72.0.0/16", {
    doc: "Addresses of the cluster's own network. The first 64 are kept for everything but agents and datanodes.",
    fix: "use a private IPv4 network with room for all machines, such as 10.72.0.0/16",
  }),
  externalNetwork: network.optionalText(
    {
      userMustSet: true,
      doc: "External network (by name) that floating IPs come from and the router leads to.",
      fix: "name the external network: openstack network list --external",
    },
    text.cloudName.pattern,
    text.cloudName.rule,
  ),
  existingNetworkId: network.optionalText(
    {
      doc: "Id of a network to use instead of a new one. `networkCidr` must then be free in it, and `existingSubnetId` set.",
      derived: "a new network, subnet and router",
    },
    text.cloudId.pattern,
    text.cloudId.rule,
  ),
  existingSubnetId: network.optionalText(
    { doc: "Id of the subnet to use in `existingNetworkId`." },
    text.cloudId.pattern,
    text.cloudId.rule,
  ),
  adminCidrs: network.cidrs({
    userMustSet: true,
    doc: "Networks that may reach the bastion's SSH. Nothing else is open to the outside but what `userCidrs` opens.",
    fix: "list the networks that you administer from, such as 198.51.100.7/32",
  }),
  userCidrs: network.cidrs({
    doc: "Networks that may open the gateway at the bastion's public address (platform `openstack`): `https://` and `domain`, or that address. The bastion forwards ports 443 and 80 to it as they are. Needs `tls`; more addresses than four networks such as 10.0.0.0/8 need `openToNetwork` as well. With `tls: acme` port 80 is open to everyone, who finds nothing there but the way to HTTPS and answers for the ACME server.",
    derived: "nobody: people come by SSH",
    fix: "list the networks of those who use the cluster, such as 198.51.100.0/24",
  }),
  egressCidrs: network.cidrs({
    doc: "Networks outside of the cluster that its machines may connect to: mirrors, registries, an object store, proxies. The cluster's own network, the metadata service, `dnsServers`, and `ntpServers` and `httpProxy` where they are addresses, are always among them; IPv6 is not then. Set `dnsServers` where the cloud's own lie outside of the cluster's network. A machine needs its package mirror, and the sources and images of the config, to come up.",
    derived: "anywhere",
    fix: "list networks such as 198.51.100.0/24",
  }),
  dockerCidr: network.cidr("172.17.0.0/16", {
    doc: "Addresses of Docker's own bridge on the machines of an OpenStack. No service of the cluster uses it, but what lies there is out of the machines' reach.",
    fix: "use a private network that nothing else uses, such as 10.200.0.0/24",
  }),
  dnsServers: network.list(text.ipv4.pattern, "IPv4 addresses", {
    doc: "DNS servers for the new subnet.",
    derived: "the cloud's own",
  }),
  ntpServers: network.list(text.host.pattern, text.host.rule, {
    doc: "Time servers of the machines (systemd-timesyncd or chrony): certificates and signed requests need the right time.",
    derived: "the guest image's own",
  }),
  httpProxy: network.optionalText(
    {
      doc: "HTTP proxy through which machines reach what lies outside: packages, images, Python packages, jars, and what notebooks ask for by curl, pip, requests or Spark's packages. It must take CONNECT for https. Programs of executors do not use it.",
      derived: "machines reach the outside directly",
      fix: "give http://host:port; a proxy with a login needs one without beside it",
    },
    text.proxy.pattern,
    text.proxy.rule,
  ),
  noProxy: network.list(text.proxyException.pattern, text.proxyException.rule, {
    doc: "What is reached without `httpProxy`. The cluster's own addresses and the metadata service are always among it.",
    fix: "write .example.org for all hosts of a domain, 10.0.0.0/8 for a network",
  }),
  bindAddress: network.text(
    "127.0.0.1",
    {
      doc: "Address of this machine on which `make up` publishes Jupyter and the web UIs (platform `docker`). Any but a loopback address needs `tls`, and then the gateway alone is published there, or `openToNetwork`.",
    },
    text.ipv4.pattern,
    text.ipv4.rule,
  ),
  openToNetwork: network.boolean(false, {
    doc: "Whether everything that is published may be on a `bindAddress` that other machines reach (platform `docker`), without encryption. Jupyter alone asks for its token there: whoever reaches the other pages reads what jobs do, and Spark's own let them end jobs. On OpenStack: whether `userCidrs` may be the whole internet.",
  }),
  gateway: network.boolean(true, {
    doc: "Whether the client serves every page of the cluster under one address (`gatewayPort`), behind one login: JupyterLab, Spark, Mesos, Marathon and HDFS, and a landing page that says how the cluster is. Pages without a login of their own are then reached through it alone. JupyterLab's paths begin with `/jupyter/` then.",
  }),

  tls: network.oneOf(["none", "own", "files", "acme"], "none", {
    doc: "How the gateway is encrypted. `none`: not at all, which is fine on a loopback address and through the SSH tunnel of OpenStack, and nowhere else. `own`: by a certificate authority of the cluster's own, which is good for its names and no others; `triplewide certificate` prints it for a browser or for curl's `--cacert`. `files`: by `tlsCertificate` and `tlsKey`. `acme`: by a certificate that the gateway gets and renews itself (`acmeDirectory`).",
  }),
  domain: network.optionalText(
    {
      doc: "Name, or IPv4 address, by which people open the gateway: in its certificate and in links. It needs `tls`, and a record in your DNS that leads to the gateway.",
      derived: "localhost, and `bindAddress` on platform `docker`",
    },
    text.domain.pattern,
    text.domain.rule,
  ),
  dnsZone: network.optionalText(
    {
      doc: "Zone of the cloud's own DNS (Designate), by its name, in which `up` makes a record that leads `domain` to the bastion. Needs `userCidrs`.",
      derived: "your own DNS leads there",
      fix: "name a zone: openstack zone list",
    },
    text.domain.pattern,
    "the name of a zone in lower case, without a dot at its end, such as example.org",
  ),
  tlsCertificate: network.optionalText(
    {
      doc: "File with the certificate for `domain` in PEM, followed by those of its issuers (`tls: files`): its path, from the folder of this checkout or from `/`. A new one is taken over by the next `up`, which restarts the gateway on platform `docker` and replaces the client on OpenStack.",
      fix: "give a path such as certificates/spark.pem",
    },
    text.path.pattern,
    text.path.rule,
  ),
  tlsKey: network.optionalSecret({
    doc: "Private key of `tlsCertificate`, without a password: what stands in its PEM file between the first and the last line, on one line, which is `openssl pkey -in spark.key | sed '/^-/d' | tr -d '\\n'`. Set it with `pulumi config set --secret tlsKey`; `make up` cannot decrypt: give it the value itself, in an environment file that is not committed.",
  }),
  acmeDirectory: network.optionalText(
    {
      doc: "Address of the ACME server that certificates come from (`tls: acme`). Using one means to agree to its terms. Where its own certificate is not one of the public authorities', `trustedCertificates`.",
      derived: "Let's Encrypt",
      fix: "give the https address of the server's directory",
    },
    text.acmeDirectory.pattern,
    text.acmeDirectory.rule,
  ),
  acmeEmail: network.optionalText(
    { doc: "Where the ACME server writes to when something is wrong with a certificate.", derived: "nobody" },
    text.email.pattern,
    text.email.rule,
  ),

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

  registry: software.optionalText(
    {
      doc: "Registry that machines pull images from, such as registry.example.org/team.",
      derived: "a registry on the cluster with generated credentials",
    },
    text.registry.pattern,
    text.registry.rule,
  ),
  registryUser: software.optionalText(
    {
      doc: "User of `registry`. Its password is the secret key `registryPassword`.",
    },
    text.loginName.pattern,
    text.loginName.rule,
  ),
  registryPassword: software.optionalSecret({
    doc: "Password of `registry`; set it with `pulumi config set --secret registryPassword`.",
  }),
  prebuiltImages: software.table(
    z.string().regex(text.imageByDigest.pattern, text.imageByDigest.rule),
    "a table of image names and references with digests, such as {spark-python: registry.example.org/team/spark-python@sha256:…}",
    {
      names: text.imageName,
      doc: "Images that machines pull as they are, instead of those that `pulumi up` builds from `images/` and pushes to the registry: `spark-python`, `client`, `hub`, `gateway`, `prometheus`, `zookeeper`, `hdfs`, `marathon`. With all that the architecture needs, `pulumi up` needs no Docker.",
      fix: "name each image by its digest: name@sha256:… (docker buildx imagetools inspect shows it)",
    },
  ),
  mesosSource: software.optionalText(
    {
      doc: "Where Mesos' master and agent come from: `docker://image@sha256:…` (a container image that holds them), `https://host/mesos.tar.gz#sha256=…` or `file:///path/mesos.tar.gz#sha256=…` (an installed prefix), or `deb+https://host/mesos.deb#sha256=…`. Machines that run Mesos themselves (on OpenStack all but those of `mesos-in-docker`) fetch it too; a `file:///` must then be in their guest image as well. Needed before `up` by every architecture but `standalone`; Mesos has had no binary releases of its own since 2020, so nothing is assumed.",
      fix: "give docker://image@sha256:…, https://…tar.gz#sha256=…, file:///…tar.gz#sha256=… or deb+https://….deb#sha256=…",
    },
    text.source.pattern,
    text.source.rule,
  ),
  libmesosSource: software.optionalText(
    {
      doc: "Where Spark's libmesos with its Java bindings comes from, in the same forms, where it is not `mesosSource`.",
      derived: "`mesosSource`",
      fix: "give https://…tar.gz#sha256=…, file:///…tar.gz#sha256=… or docker://image@sha256:…",
    },
    text.source.pattern,
    text.source.rule,
  ),
  marathonSource: software.text(
    "docker://mesosphere/marathon:v1.11.24",
    {
      doc: "Container image of Marathon (`marathon-standalone`). `pulumi up` copies it into the registry that machines pull from.",
    },
    text.dockerImage.pattern,
    text.dockerImage.rule,
  ),
  aptMirror: software.optionalText(
    { doc: "Debian mirror that machines install packages from.", derived: "the guest image's own" },
    text.mirror.pattern,
    text.mirror.rule,
  ),
  mavenMirror: software.optionalText(
    {
      doc: "Maven repository, asked instead of Maven Central, that drivers get the jars of `spark.jars.packages` from. It must ask for no login.",
      derived: "Maven Central",
      fix: "give the address of the repository's folder, such as https://maven.example.org/repository/central",
    },
    text.mavenRepository.pattern,
    text.mavenRepository.rule,
  ),
  trustedCertificates: software.list(text.certificate.pattern, text.certificate.rule, {
    doc: "Certificate authorities that the machines and the client trust besides the public ones: machines for packages, Python packages and registries, the client for `mavenMirror`, `s3Endpoint` and whatever else drivers reach by HTTPS, in Java and Python, `pip` included. Executors trust them in Java where there is `sharedStorage`. Each is what stands in a PEM file between the first and the last line, after `>-` on as many lines. Empty on platform `docker`: those that this machine trusts (`SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` or `NODE_EXTRA_CA_CERTS`).",
    fix: "give each as one text, without the lines that begin with dashes: sed '/^-/d' ca.pem | tr -d '\\n'",
  }),
  pythonIndex: software.optionalText(
    { doc: "Python package index for agents that install packages themselves (`vanilla`).", derived: "pip's own" },
    text.mirror.pattern,
    text.mirror.rule,
  ),

  agentCpus: spark.optionalInteger(0, 1024, {
    doc: "Cores that one agent offers. Marathon has to name a number for a Spark worker (`marathon-standalone`): where this is unset, it is the agent flavor's in `flavorSizes`, else one executor's.",
    derived: "all that it has",
  }),
  agentMemoryMiB: spark.optionalInteger(0, 4194304, {
    doc: "MiB of memory that one agent offers to executors, for their heap and what they need beside it. Unset in `marathon-standalone`: as with `agentCpus`, the size of `flavorSizes`, else one executor's.",
    derived:
      "the size of `flavorSizes` less what the system and the daemons take, else all that it has, less the system's share",
  }),
  executorCores: spark.optionalInteger(0, 1024, {
    doc: "Cores of one executor.",
    derived:
      "with `dynamicAllocation` so many that the executors which fit an agent's memory take all of its cores, 1 where its size is not known; else Spark's own default",
  }),
  executorMemoryMiB: spark.integer(512, 4194304, 1024, { doc: "MiB of heap of one executor." }),
  executorMemoryOverheadMiB: spark.optionalInteger(0, 4194304, {
    doc: "MiB of one executor beside its heap: the JVM's own, its Python workers, and what pandas and Arrow hold. Heap and this together are what an executor takes of its agent; one that takes more is ended.",
    derived: "40 % of `executorMemoryMiB`, at least 1024",
  }),
  driverMemoryMiB: spark.integer(512, 4194304, 1024, { doc: "MiB of heap of a driver on the client." }),
  coresMax: spark.optionalInteger(0, 1000000, {
    doc: "Cores that one job may take (`spark.cores.max`), so that several jobs share the cluster. A job may ask for another number.",
    derived: "half of the cores that there are when a job starts, but one executor on each agent at least",
  }),
  dynamicAllocation: spark.boolean(true, {
    doc: "Whether jobs grow and shrink with their work: an executor that is idle for 60 s (1,800 s where it holds cached data) is given back to other jobs. Adds the external shuffle service to every agent.",
  }),
  encryption: spark.boolean(true, {
    doc: "Whether what Spark's processes send each other is encrypted (AES in GCM), and where Spark's own workers start executors, what jobs leave on disks while they run as well: Spark cannot do the latter on Mesos. Results that jobs write are not encrypted: those are files of yours.",
  }),
  idleKernelMinutes: spark.integer(0, 525600, 720, {
    doc: "Minutes after which a notebook's kernel that runs no cell is ended, with its driver and what it holds; an open browser does not count as use. 0 is never.",
  }),
  notebooks: spark.oneOf(["single", "hub"], "single", {
    doc: "`single`: one notebook server, for everyone who has the cluster's password. `hub`: JupyterHub as well (`hubPort`), which starts a notebook server for each of `users`, in a container of its own with a folder, user id, address, memory and cores of its own: docs/SHARING.md. Not with `sharedStorage: manila`, and in `vanilla` on OpenStack with `sharedStorage: none` alone.",
  }),
  users: spark.table(
    z.strictObject({
      admin: z.boolean().default(false),
      login: z.string().regex(text.identity.pattern, text.identity.rule).optional(),
    }),
    "a table such as {alice: {}, bob: {admin: true}}",
    {
      names: {
        pattern: USER,
        rule: "a name of lower-case letters, digits and dashes, at most 20, that is none of the system's, such as root or spark",
      },
      doc: "Who may log in to the hub (`notebooks: hub`), by name. Each gets a password (`triplewide users`) and may choose another. With `admin` somebody may also start, end and open the servers of the others. Whoever is taken out is logged out, and their files stay. `login` is what `oidcClaim` holds for somebody whom the OpenID provider calls otherwise.",
      fix: "give each user a table, empty or with admin and login, such as {alice: {}, bob: {admin: true}}",
    },
  ),
  oidcIssuer: spark.optionalText(
    {
      doc: "OpenID provider by which `users` log in to the hub, instead of by passwords: Keycloak, Dex, Entra ID, or any other that has `<issuer>/.well-known/openid-configuration`. The hub and people's browsers must reach it, the hub without `httpProxy`. Where its certificate is not one of the public authorities', `trustedCertificates`.",
      derived: "passwords",
      fix: "give the provider's issuer as it names itself, such as https://login.example.org/realms/lab, with oidcClientId and oidcClientSecret",
    },
    text.issuer.pattern,
    text.issuer.rule,
  ),
  oidcClientId: spark.optionalText(
    {
      doc: "What the provider of `oidcIssuer` knows the hub as. Its redirect address there is the hub's own with `/hub/oauth_callback`, which `triplewide users` prints. Its secret is the secret key `oidcClientSecret`.",
    },
    text.identity.pattern,
    text.identity.rule,
  ),
  oidcClientSecret: spark.optionalSecret({
    doc: "Secret of `oidcClientId`; set it with `pulumi config set --secret oidcClientSecret`. It is on the client, and no user's server has it. `make up` cannot decrypt: give it the value itself, in an environment file that is not committed.",
  }),
  oidcClaim: spark.text(
    "preferred_username",
    {
      doc: "What of the provider's answer says who of `users` somebody is: their name there, or their `login`. Take one that people cannot change themselves. An `email` counts only where the provider says that it is verified (`email_verified`).",
    },
    /^[A-Za-z_][A-Za-z0-9_.:/-]{0,63}$/,
    "a name of letters, digits and _ . : / -",
  ),
  notebookMemoryMiB: spark.integer(1536, 4194304, 4096, {
    doc: "MiB of memory that a user's notebook server of the hub may take with all that runs in it: kernels, and their Spark drivers.",
  }),
  notebookCpus: spark.integer(1, 1024, 2, {
    doc: "Cores that a user's notebook server of the hub may take. Where the client has fewer, those.",
  }),
  historyServer: spark.boolean(false, {
    doc: "Whether event logs are kept and the history server runs on the client. Needs HDFS (`datanodeCount`, `existingNamenodes`) so that every driver can write there.",
  }),
  sparkConnect: spark.boolean(false, {
    doc: "Whether the client runs the server of Spark Connect, which Python programs on other computers use with `pip install pyspark[connect]` and without Java: docs/CONNECT.md. It is one more driver that all of them share, and asks for a token. `prebuiltImages` are to be built with `CONNECT=jars images/build.sh`.",
  }),
  objectStore: spark.oneOf(["none", "swift"], "none", {
    doc: "Whether the cluster makes a container in the cloud's own object store (Swift, or Ceph with Swift's API), `<clusterName>-data`, and a key for its S3 interface: `s3a://<clusterName>-data/…` then works in every notebook and job. `swift`: OpenStack only, and instead of `s3Endpoint`. The container goes with the cluster, and all objects in it, unless `protectData`. Whoever has the client has the key, which reaches whatever its owner, the user that runs `pulumi up`, reaches in the project: docs/SECURITY.md. `prebuiltImages` are to be built with `S3=jars images/build.sh`.",
  }),
  s3Endpoint: spark.optionalText(
    {
      doc: "Object store that `s3a://bucket/…` paths lead to: S3 or whatever speaks it, such as Swift with its S3 interface (`openstack ec2 credentials create` gives its keys) or Ceph. The images of the cluster then hold the jars for it; `prebuiltImages` are to be built with `S3=jars images/build.sh`. Where its certificate is not one of the public authorities', `trustedCertificates`.",
      derived: "no object store",
      fix: "give the address of the S3 interface, such as https://object-store.example.org, with s3AccessKey and s3SecretKey",
    },
    /^https?:\/\/[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?\/?$/,
    "an http(s) address without a path, or empty",
  ),
  s3AccessKey: spark.optionalText(
    { doc: "Access key for `s3Endpoint`. Its secret is the secret key `s3SecretKey`." },
    text.accessKey.pattern,
    text.accessKey.rule,
  ),
  s3SecretKey: spark.optionalSecret({
    doc: "Secret of `s3AccessKey`; set it with `pulumi config set --secret s3SecretKey`. It is on the client, and drivers hand it to their executors. `make up` cannot decrypt: give it the value itself, in an environment file that is not committed.",
  }),
  sparkConf: spark.table(
    z.string().regex(text.propertyValue.pattern, text.propertyValue.rule),
    "a table of Spark properties",
    {
      names: text.propertyName,
      doc: "Further Spark properties. Each goes to those that read it: `spark.worker.*` to workers, `spark.deploy.*` and `spark.master.*` to masters, `spark.shuffle.*` to drivers and shuffle services, `spark.history.*` to the history server, `spark.ui.*` to all that have pages, and what both ends of a connection must agree on (`spark.network.*`, `spark.rpc.*`) to everyone; all others to drivers and by them to executors. They win over what the cluster derives. A property that can have no effect, or that a config key or the cluster itself sets, is refused with what to set instead.",
      fix: "give property names and values as text of one line, such as {spark.sql.shuffle.partitions: '64'}",
    },
  ),

  executorSource: mesos.oneOf(["hdfs", "http", "local"], "http", {
    doc: "Where executors get Spark from in `vanilla` (`spark.executor.uri`): HDFS, where the client puts it, an HTTP server on the client, or every agent itself. On machines that is `/opt/spark-dist/spark-<version>.tgz`, which the guest image then has to hold; on platform `docker` Spark is in the agents' image. What comes from HDFS or the client is kept by agents for the executors that follow, by Mesos' fetcher cache, and so is what a job names in `spark.mesos.uris`, unless it sets `spark.mesos.fetcherCache.enable` to false.",
  }),
  mesosCgroups: mesos.oneOf(["auto", "1", "2"], "auto", {
    doc: "Version of control groups that agents use where they start tasks in those. `auto`: what `mesosSource` has code for, which is looked up in its library and never guessed from its version; a machine on OpenStack that boots with another reboots into version 1 where only that will do. `1`: machines reboot into version 1 in any case. `2`: none reboots, and a Mesos that knows version 1 alone is refused. This machine's Docker has the version that it has: another is refused before anything is started.",
  }),
  mesosAttributes: mesos.table(
    z.string().regex(text.attributeValue.pattern, text.attributeValue.rule),
    "a table of agent attributes",
    {
      names: text.propertyName,
      doc: "Attributes of every agent, such as {rack: r1}: text of letters, digits and `_/.-`, a range or a set.",
      fix: "give names and values as text, such as {rack: r1}",
    },
  ),
  mesosRole: mesos.text(
    "spark",
    { doc: "Mesos role that Spark registers in." },
    NAME,
    "a name of lower-case letters, digits and dashes",
  ),
  mesosTls: mesos.boolean(false, {
    doc: "Whether Mesos' masters, agents and drivers speak TLS with each other, by certificates of the cluster's own authority, and show their pages by HTTPS. Needs a Mesos that was built with SSL. Where the leading master is lost, another leads after some ten seconds; where a message of their log is lost with a connection, the new one gives up after 20 and leaves it to the next. What Spark's own processes send each other is encrypted by `encryption` in any case.",
  }),
  mesosFrameworks: mesos.list(NAME, "names of lower-case letters, digits and dashes", {
    doc: "Other frameworks that may register with Mesos, by name. Each name is a principal with a secret of its own, which the client holds (`/etc/mesos/frameworks/<name>.json`, as Mesos' `--credential` takes it), and the one role that it may register in. Its tasks run as the user `task-<name>`, which agents make, and as no other.",
  }),
  teams: mesos.table(
    z.strictObject({
      cpus: z.int().min(1),
      memoryMiB: z.int().min(512),
      cpusMax: z.int().min(1).optional(),
      memoryMaxMiB: z.int().min(512).optional(),
      weight: z.number().min(0.01).max(1000).default(1),
      users: z.array(z.string()).optional(),
    }),
    "a table such as {ml: {cpus: 40, memoryMiB: 163840, weight: 2}}",
    {
      names: { pattern: NAME, rule: "a name of lower-case letters, digits and dashes" },
      doc: "Teams that share the cluster, by name, where Mesos starts executors. `cpus` and `memoryMiB` are kept free for a team whatever the others do (the guarantee of a Mesos quota; agents that are a team's by `agentGroups` count towards it); of what nobody has a guarantee for, teams get parts in proportion to `weight` (default 1). `cpusMax` and `memoryMaxMiB` bound what the jobs of a team have together. A driver belongs to the team that `TRIPLEWIDE_TEAM` names: it registers in the Mesos role of that name with a principal and secret of its own. Without it and without `defaultTeam`, it is in `mesosRole`, which has no guarantee (`TRIPLEWIDE_TEAM=spark` says so). `users` names those of the hub (`notebooks: hub`) whose jobs are in the team's role, each by a principal and secret of their own; those of no team are in the role of `defaultTeam`, and without it in `mesosRole`. `up` sets the numbers, and a change of them changes no machine; a new team, and another user in one, replaces masters and client.",
      fix: "give whole numbers for cpus and memoryMiB (MiB), and where wanted cpusMax, memoryMaxMiB, weight and users, a list of names",
    },
  ),
  defaultTeam: mesos.optionalText(
    { doc: "Team of drivers that name none, one of `teams`.", derived: "no team: `mesosRole`" },
    NAME,
    "the name of a team",
  ),
  taskImages: mesos.list(text.taggedImage.pattern, text.taggedImage.rule, {
    doc: "Images that tasks of other frameworks may run in beside the cluster's own, where agents start containers (`docker-executors`, `marathon-standalone`), exactly as the tasks name them. Agents refuse others, and containers whose user is root.",
  }),
  taskVolumes: mesos.list(text.taskFolder.pattern, text.taskFolder.rule, {
    doc: "Folders of agents that containers of tasks may have, of whatever framework, beside those that Spark itself needs. Agents refuse others.",
  }),
  marathonWorkers: mesos.optionalInteger(0, 2000, {
    doc: "Spark workers that Marathon keeps running (`marathon-standalone`), at most one on each agent. Another number starts or ends workers and changes no machine.",
    derived: "one on every agent",
  }),

  gatewayPort: ports.port(8090, { doc: "The gateway, on the client." }),
  acmePort: ports.port(8091, {
    doc: "Where the gateway answers an ACME server (`tls: acme`), to which port 80 of `domain` leads: on platform `docker` port 80 of `bindAddress` does.",
  }),
  jupyterPort: ports.port(8888, { doc: "JupyterLab on the client." }),
  sparkMasterPort: ports.port(7077, { doc: "Spark master." }),
  sparkMasterUiPort: ports.port(8080, { doc: "Spark master's web UI." }),
  sparkWorkerPort: ports.port(7078, { doc: "Spark worker." }),
  sparkWorkerUiPort: ports.port(8081, { doc: "Spark worker's web UI." }),
  sparkUiPort: ports.port(4040, { doc: "First of 32 ports for the web UIs of drivers on the client." }),
  driverPort: ports.port(7100, { doc: "First of 32 ports on which drivers take executors' connections." }),
  blockManagerPort: ports.port(7200, { doc: "First of 32 ports on which drivers and executors exchange blocks." }),
  shuffleServicePort: ports.port(7337, { doc: "External shuffle service (with `dynamicAllocation`)." }),
  historyServerPort: ports.port(18080, { doc: "Spark history server." }),
  metastorePort: ports.port(9083, { doc: "Catalogue of tables (Hive metastore), on the client's loopback interface." }),
  hubPort: ports.port(8000, {
    doc: "JupyterHub on the client (`notebooks: hub`): by HTTPS where `tls` says so. The ports after it are the hub's as well: two on the loopback interface, and with `tls` a third one, at which users' servers find the hub.",
  }),
  hubDriverPort: ports.port(20000, {
    doc: "First of the client's ports by which executors reach drivers of the hub's users on OpenStack: 64 for each user who ever was one (96 where Mesos starts executors), 128 users at most.",
  }),
  sparkConnectPort: ports.port(15002, { doc: "Spark Connect on the client (with `sparkConnect`)." }),
  sparkConnectUiPort: ports.port(15040, { doc: "Web UI of Spark Connect's driver on the client." }),
  mesosMasterPort: ports.port(5050, { doc: "Mesos master." }),
  mesosAgentPort: ports.port(5051, { doc: "Mesos agent." }),
  marathonPort: ports.port(8180, { doc: "Marathon (its own default, 8080, is the Spark master's UI)." }),
  zookeeperClientPort: ports.port(2181, { doc: "ZooKeeper, clients." }),
  zookeeperPeerPort: ports.port(2888, { doc: "ZooKeeper, followers to leader." }),
  zookeeperElectionPort: ports.port(3888, { doc: "ZooKeeper, leader election." }),
  namenodePort: ports.port(8020, { doc: "HDFS namenode." }),
  namenodeUiPort: ports.port(9870, { doc: "HDFS namenode's web UI." }),
  journalnodePort: ports.port(8485, { doc: "HDFS JournalNode." }),
  journalnodeUiPort: ports.port(8480, { doc: "HDFS JournalNode's web UI." }),
  zkfcPort: ports.port(8019, { doc: "HDFS failover controller." }),
  datanodePort: ports.port(9866, { doc: "HDFS datanode, data." }),
  datanodeIpcPort: ports.port(9867, { doc: "HDFS datanode, control." }),
  datanodeUiPort: ports.port(9864, { doc: "HDFS datanode's web UI." }),
  registryPort: ports.port(5000, {
    doc: "Image registry on the cluster, from which machines pull by HTTPS and to which nobody pushes.",
  }),
  registryPushPort: ports.port(5001, {
    doc: "Image registry on the cluster, to which `pulumi up` pushes by SSH: the port is on its machine's loopback interface, and while that lasts on this computer's.",
  }),
  prometheusPort: ports.port(9090, { doc: "Prometheus on the client (with `monitoring`)." }),
  metricsTranslatorPort: ports.port(9101, {
    doc: "What makes metrics of what other programs say, on the client's loopback interface (with `monitoring`).",
  }),
  nodeExporterPort: ports.port(9100, { doc: "Metrics of a machine (with `monitoring`)." }),
  logStorePort: ports.port(19532, {
    doc: "Where machines send their logs, by HTTPS with a certificate of their own, on the client (with `monitoring`, on OpenStack).",
  }),
  executorHttpPort: ports.port(8070, { doc: "HTTP server of the Spark tarball on the client (`vanilla`)." }),

  agentBatchSize: operation.integer(1, 500, 10, {
    doc: "Agents replaced at the same time when a change replaces them.",
  }),
  monitoring: operation.boolean(false, {
    doc: "Whether the client measures the cluster: Prometheus asks every service and machine each ten seconds, keeps what they say, and raises alerts; the gateway shows a dashboard. On OpenStack it keeps the logs of all machines as well (docs/OPERATIONS.md).",
  }),
  metricsRetentionDays: operation.integer(1, 3650, 15, {
    doc: "Days for which measurements are kept (with `monitoring`). They take a quarter of `clientVolumeGb` at most; then the oldest go first.",
  }),
  readyTimeoutSeconds: operation.integer(60, 7200, 900, {
    doc: "Seconds that a group of machines may take to become ready before the update fails with its units' last log lines.",
  }),
} as const;

/** The schema: unknown keys are refused. */
export const schema = z.strictObject(shape);

/** A valid config, every default applied. A key that is unset is `undefined`. */
export type Config = Omit<z.infer<typeof schema>, "clusterName"> & { clusterName: string };
/** Name of a config key. */
export type ConfigKey = keyof typeof shape;
/** Where a cluster runs. */
export type Platform = Config["platform"];

/**
 * The value of a key that must be set where it is asked for.
 *
 * @throws Error where it is not: the rules between keys should have refused the config.
 */
export function required<K extends ConfigKey>(c: Config, key: K): NonNullable<Config[K]> {
  const value = c[key];
  if (value === undefined || value === null) throw new Error(`${key} is not set`);
  return value;
}
