import { join } from "node:path";
import { RecordSet } from "@pulumi/openstack/dns/recordSet.js";
import * as pulumi from "@pulumi/pulumi";
import { egressOf } from "../cluster/firewall.ts";
import { GROUP_NAMES, GROUPS } from "../cluster/groups.ts";
import { HOST_KEY_SECRET_LENGTH, hostKey, hostKeyAlias, knownHosts, withHostKey } from "../cluster/host-keys.ts";
import type { ImageName } from "../cluster/image-catalogue.ts";
import {
  layerArguments,
  layerTag,
  MESOS_IMAGES,
  marathonImage,
  mesosIn,
  mesosParts,
  mesosTag,
} from "../cluster/images.ts";
import { containerName, containerUrl, makesContainer, segmentsName } from "../cluster/object-store.ts";
import { SECRET_NAMES } from "../cluster/secret-names.ts";
import { keyPairResource, secretsComponent } from "../cluster/secrets.ts";
import { jupyterBase } from "../cluster/services/client/client.ts";
import { isPublic } from "../cluster/services/gateway/entrance.ts";
import { authorityOf } from "../cluster/services/gateway/tls.ts";
import { hubPasswords } from "../cluster/services/hub/hub.ts";
import { PUSH_ADDRESS, pushLogin } from "../cluster/services/registry/registry.ts";
import { shareClients } from "../cluster/share.ts";
import { usesShare } from "../cluster/shared-storage.ts";
import type { Cluster, Group, Machine } from "../cluster/types.ts";
import { fill, type Reference, references, secret } from "../cluster/values.ts";
import { givenSecrets, SECRET_KEYS, type SecretKey } from "../config/secrets.ts";
import { type Checkout, readCheckout } from "../lib/checkout.ts";
import { never } from "../lib/promises.ts";
import { absolute, type DnsFacts, recordDescription } from "../openstack/dns.ts";
import type { ObjectStoreFacts } from "../openstack/object-store.ts";
import { serverGroups } from "../openstack/server-groups.ts";
import type { ShareFacts } from "../openstack/share.ts";
import { checkUserData, renderUserData, userDataReferences } from "../render/cloud-init.ts";
import { accessSummary, connectServer, pages, pageUrl, remoteOf, sshConfig } from "./access.ts";
import { Bastion } from "./bastion.ts";
import { ClusterSecrets } from "./cluster-secrets.ts";
import { type Configuration, configure } from "./configuration.ts";
import { type CloudValues, valuesOf } from "./filler.ts";
import { Firewall } from "./firewall.ts";
import { Images, type ImagesArgs } from "./images.ts";
import { KeyPair } from "./key-pair.ts";
import { MachineGroup, type MachineGroupArgs } from "./machine-group.ts";
import { Network } from "./network.ts";
import { ObjectStore } from "./object-store.ts";
import type { Operations } from "./operations.ts";
import { Readiness, targetOf } from "./readiness.ts";
import { Share } from "./share.ts";
import { refusesTwins, tellsOfTwins } from "./twins.ts";

export interface SparkClusterArgs {
  /** What runs where. Plain, because it decides which resources there are. */
  cluster: Cluster;
  /** Folder that holds `images/`. */
  root: string;
  /** Id of the guest image that `image` of the config names. */
  imageId: string;
  /** Id of each flavor that a machine names. */
  flavorIds: Readonly<Record<string, string>>;
  /** Id of the network that the router leads to; empty where none is needed. */
  externalNetworkId: string;
  /** Name of the same network, which is how floating IPs are asked for. */
  externalNetwork: string;
  /**
   * sha256 of each archive of Mesos that lies in the folder of `spark-python`, by the source that the config names.
   * @default none; images hold no Mesos
   */
  mesosArchives?: ReadonlyMap<string, string>;
  /**
   * Image that all others begin with, where they are built.
   * @default as `images/versions.env` names it
   */
  baseImage?: string;
  /**
   * How drivers reach the cloud's object store.
   * @default none: the config asks for no container
   */
  objectStore?: ObjectStoreFacts | undefined;
  /**
   * What is known of the type of the cloud's share.
   * @default none: the config asks for no share
   */
  share?: ShareFacts | undefined;
  /**
   * The zone in which `domain` is.
   * @default none: the config asks for no record
   */
  dns?: DnsFacts | undefined;
  /** What exists already, and how machines are waited for. */
  operations: Operations;
  /** Values of the config's secret keys that are set; all other secrets are generated. */
  secrets?: Partial<Record<SecretKey, pulumi.Input<string>>>;
}

/** Time to live of the DNS record, in seconds. Short, because a stack that is made anew has another address. */
const RECORD_SECONDS = 300;

/**
 * A whole cluster on OpenStack: network, access, registry, images and machines, and the wait until all of it works.
 *
 * @throws Error where `flavorIds` lacks a flavor that a machine names.
 * @example
 * ```ts
 * const cluster = describeCluster(config);
 * const spark = new SparkCluster(cluster.name, { cluster, root: import.meta.dirname, ...(await lookAround(cluster, root)) });
 * export const jupyterUrl = spark.jupyterUrl;
 * ```
 */
export class SparkCluster extends pulumi.ComponentResource {
  /** MASTER for Spark: what a driver on the client connects to. */
  readonly masterUrl: pulumi.Output<string>;
  /** Web pages by name, as they open on this machine while `ssh <cluster>-pages` is connected. */
  readonly uis: pulumi.Output<Record<string, string>>;
  /** Address of JupyterLab, as it opens on this computer while `ssh <cluster>-pages` is connected: at the gateway, where there is one. */
  readonly jupyterUrl: pulumi.Output<string>;
  /** Password of the gateway; empty without one. Secret. */
  readonly gatewayPassword: pulumi.Output<string>;
  /** Certificate of the authority that vouches for the gateway, in PEM; empty where that is not the cluster's own (`tls`). */
  readonly gatewayCertificate: pulumi.Output<string>;
  /** One screen that says how to use the cluster, as `make up` ends with. */
  readonly summary: pulumi.Output<string>;
  /** Token that Jupyter asks for. Secret. */
  readonly jupyterToken: pulumi.Output<string>;
  /**
   * Address for Spark Connect's clients, with its token: through the gateway where people come to that without a tunnel (`userCidrs`), else
   * while `ssh <cluster>-pages` is connected. Empty without. Secret.
   */
  readonly sparkRemote: pulumi.Output<string>;
  /** First password of each user of the hub, by their names; none where they log in by `oidcIssuer`, or there is no hub. Secret. */
  readonly hubPasswords: pulumi.Output<Record<string, string>>;
  /** Settings for `ssh -F`. */
  readonly sshConfig: pulumi.Output<string>;
  /** `spark-defaults.conf` of the client. Secret, because Spark's shared secret is among it. */
  readonly sparkProperties: pulumi.Output<Record<string, string>>;
  /** The container that the cluster made, as Spark has it: `s3a://lab-data`. Empty without. */
  readonly objectStore: pulumi.Output<string>;
  /** The bastion's public address; empty without a bastion. */
  readonly bastionAddress: pulumi.Output<string>;
  /** SSH host key of every machine, as lines of `known_hosts`. */
  readonly sshKnownHosts: pulumi.Output<string>;
  /** Private key of the machines' login user; empty where the config names a key pair. Secret. */
  readonly privateKey: pulumi.Output<string>;
  /**
   * Resolves when every machine is ready and the cluster works as one; in a preview at once. Rejects with an error at
   * the resource at fault. The outputs do not wait for it: with them people find out what is wrong.
   */
  readonly ready: Promise<void>;

  readonly #args: SparkClusterArgs;
  readonly #checkout: Checkout;
  readonly #refusesTwins: pulumi.ResourceHook;
  readonly #tellsOfTwins: pulumi.ResourceHook;
  readonly #groups = new Map<Group, MachineGroup>();

  constructor(name: string, args: SparkClusterArgs, opts?: pulumi.ComponentResourceOptions) {
    super("triplewide:index:SparkCluster", name, {}, opts);
    this.#args = args;
    this.#checkout = readCheckout(args.root);
    checkUserData(args.cluster, this.#checkout);
    const { cluster } = args;
    this.#refusesTwins = refusesTwins(`${name}-twins`, args.operations);
    this.#tellsOfTwins = tellsOfTwins(`${name}-made-twice`, args.operations, this);

    // Network: where the machines are, and which groups may connect to which ports.
    const network = this.#network(name);
    const firewall = this.#firewall(name);

    // Access: the key for SSH, every password, and the machine through which all others are reached.
    const keyPair = this.#keyPair(name);
    const store = this.#objectStore(name);
    const secrets = this.#secrets(name, store);
    const cloud = this.#cloudValues(store, this.#share(name, network));
    const forBastion = { network, firewall, keyPair, secrets, cloud };
    const bastion = this.#bastion(name, forBastion);
    const base = { ...forBastion, cloud: { ...cloud, ...(bastion ? { "public-address": bastion.address } : {}) } };
    this.sshKnownHosts = pulumi.unsecret(secrets.of(SECRET_NAMES.hostKeys).apply((seed) => knownHosts(cluster, seed)));
    this.#connect(keyPair, bastion);
    if (bastion) this.#record(name, bastion);

    // Registry: before the images, which are pushed to it.
    const registry = this.#group(name, base, "registry");

    // Images: before the other machines, whose user data names images by digest.
    const images = this.#images(name, secrets, registry);

    // Machines: all remaining groups. Of machines that exist, one group is replaced after the other.
    for (const group of GROUP_NAMES) this.#group(name, { ...base, images }, group);

    // Readiness: decides whether the update succeeds. The outputs do not wait for it.
    const { operations } = args;
    const waited = { cluster, operations, groups: this.#groups, secrets, cloud: base.cloud, images, resource: this };
    this.ready = new Readiness(waited).wait();

    // Outputs.
    this.masterUrl = pulumi.output(cluster.spark.master);
    this.bastionAddress = bastion?.address ?? pulumi.output("");
    // Only read where pages open at the public address, so that a preview of a new stack can show all other pages.
    const address = isPublic(cluster.config) ? this.bastionAddress : pulumi.output("");
    this.uis = address.apply((at) => Object.fromEntries(pages(cluster).map((p) => [p.name, pageUrl(cluster, p, at)])));
    this.jupyterUrl = this.uis.apply((uis) => `${uis.gateway ?? uis.jupyter}${jupyterBase(cluster.config)}lab`);
    this.gatewayPassword = cluster.config.gateway ? secrets.of(SECRET_NAMES.gatewayPassword) : pulumi.secret("");
    const authority = authorityOf(cluster);
    this.gatewayCertificate = pulumi.unsecret(
      valuesOf(references(authority), secrets, base.cloud).apply((lookUp) =>
        authority ? fill(authority, lookUp) : "",
      ),
    );
    this.summary = address.apply((at) => accessSummary(cluster, pulumi.getStack(), at));
    this.jupyterToken = secrets.of(SECRET_NAMES.jupyterToken);
    const connect = connectServer(cluster);
    this.sparkRemote = connect
      ? secrets
          .of(SECRET_NAMES.connectToken)
          .apply((token) => address.apply((at) => remoteOf(cluster, connect, token, at)))
      : pulumi.output("");
    const passwords = hubPasswords(cluster.config).map(({ user, name }) => [user, secrets.of(name)] as const);
    this.hubPasswords = pulumi.secret(pulumi.all(Object.fromEntries(passwords)));
    this.objectStore = pulumi.output(containerUrl(cluster.config) ?? "");
    this.sshConfig = this.bastionAddress.apply((address) => sshConfig(cluster, address));
    this.sparkProperties = this.#sparkProperties(base, images);
    this.privateKey = keyPair.privateKey;
    // sshConfig, sshKnownHosts, sparkProperties and privateKey are large or secret, and are outputs of the stack: one copy in the state is enough.
    this.registerOutputs({
      masterUrl: this.masterUrl,
      uis: this.uis,
      jupyterUrl: this.jupyterUrl,
      bastionAddress: this.bastionAddress,
    });
  }

  #network(name: string): Network {
    const { cluster, externalNetworkId } = this.#args;
    const c = cluster.config;
    return new Network(
      `${name}-network`,
      {
        clusterName: cluster.name,
        cidr: c.networkCidr,
        externalNetworkId,
        existingNetworkId: c.existingNetworkId ?? "",
        existingSubnetId: c.existingSubnetId ?? "",
        refusesTwins: this.#refusesTwins,
        ...(c.dnsServers.length > 0 ? { dnsServers: c.dnsServers } : {}),
      },
      { parent: this },
    );
  }

  #firewall(name: string): Firewall {
    const { cluster } = this.#args;
    const groups = GROUP_NAMES.filter((group) => this.#machines(group).length > 0);
    return new Firewall(
      `${name}-firewall`,
      {
        clusterName: cluster.name,
        groups,
        rules: cluster.firewall,
        egress: egressOf(cluster.config),
        refusesTwins: this.#refusesTwins,
      },
      { parent: this },
    );
  }

  #keyPair(name: string): KeyPair {
    const { cluster } = this.#args;
    return new KeyPair(
      keyPairResource(name),
      { clusterName: cluster.name, existing: cluster.config.keyPair ?? "" },
      { parent: this },
    );
  }

  /** The container for `s3a://` paths and its key; nothing where the config asks for none. */
  #objectStore(name: string): ObjectStore | undefined {
    const { cluster, operations } = this.#args;
    const c = cluster.config;
    if (!makesContainer(c)) return undefined;
    return new ObjectStore(
      `${name}-objects`,
      {
        clusterName: cluster.name,
        container: containerName(c),
        segments: segmentsName(c),
        protectData: c.protectData,
        operations,
      },
      { parent: this },
    );
  }

  /** The cloud's share that machines have as their folder; nothing where the config asks for none. */
  #share(name: string, { networkId, subnetId }: Network): Share | undefined {
    const { cluster, share } = this.#args;
    const c = cluster.config;
    if (!usesShare(c)) return undefined;
    return new Share(
      `${name}-share`,
      {
        clusterName: cluster.name,
        sizeGb: c.shareGb,
        ...(c.shareType === undefined ? {} : { shareType: c.shareType }),
        ownServer: share?.ownServer ?? false,
        networkId,
        subnetId,
        clients: shareClients(c),
        protectData: c.protectData,
        refusesTwins: this.#refusesTwins,
      },
      { parent: this },
    );
  }

  /** What user data has of the cloud besides secrets and images. */
  #cloudValues(store: ObjectStore | undefined, share: Share | undefined): CloudValues {
    const { objectStore } = this.#args;
    const shared: CloudValues = share ? { "shared-storage-export": share.source } : {};
    if (!store || !objectStore) return shared;
    return {
      ...shared,
      "object-store-endpoint": objectStore.endpoint,
      "object-store-region": objectStore.region,
      "object-store-access-key": store.accessKey,
    };
  }

  #secrets(name: string, store: ObjectStore | undefined): ClusterSecrets {
    const { cluster, secrets = {} } = this.#args;
    return new ClusterSecrets(
      secretsComponent(name),
      {
        make: [...cluster.secrets, { name: SECRET_NAMES.hostKeys, length: HOST_KEY_SECRET_LENGTH }],
        given: {
          ...givenSecrets<pulumi.Input<string>>(secrets),
          ...(store ? { [SECRET_KEYS.s3SecretKey]: store.secretKey } : {}),
        },
      },
      { parent: this },
    );
  }

  #bastion(name: string, base: Base): Bastion | undefined {
    if (this.#machines("bastion").length === 0) return undefined;
    const bastion = new Bastion(
      `${name}-bastion`,
      { ...this.#groupArgs("bastion", base), externalNetwork: this.#args.externalNetwork },
      { parent: this },
    );
    this.#groups.set("bastion", bastion.machines);
    return bastion;
  }

  /** Has the cloud's DNS lead `domain` to the bastion. A machine that takes its place has the same address. */
  #record(name: string, { address }: Bastion): void {
    const { cluster, dns } = this.#args;
    const { dnsZone, domain } = cluster.config;
    if (dnsZone === undefined || domain === undefined || !dns) return;
    const record = { name: absolute(domain), type: "A", ttl: RECORD_SECONDS, records: [address] };
    new RecordSet(
      `${name}-domain`,
      { zoneId: dns.zoneId, description: recordDescription(cluster.name), ...record },
      { parent: this },
    );
  }

  /** Images are pushed to the cluster's own registry as soon as that is ready, by SSH to its machine. */
  #images(name: string, secrets: ClusterSecrets, registry: MachineGroup | undefined): Images {
    const { cluster, root, operations } = this.#args;
    const c = cluster.config;
    const { versions } = this.#checkout;
    const login = pushLogin(cluster);
    const [machine] = this.#machines("registry");
    const storage = machine && registry?.storageIds.get(machine.name);
    const port = c.registryPushPort;
    const needed = new Set(GROUP_NAMES.flatMap((group) => this.#references(group)).flatMap(imageNames));
    return new Images(
      `${name}-image`,
      {
        needed: [...needed].sort(),
        given: c.prebuiltImages,
        folder: join(root, "images"),
        buildArgs: {
          ...versions,
          ...(this.#args.baseImage === undefined ? {} : { BASE_IMAGE: this.#args.baseImage }),
          ...layerArguments(c),
          MARATHON_IMAGE: marathonImage(c),
        },
        mesos: this.#mesos(),
        tag: versions.TRIPLEWIDE_VERSION ?? "latest",
        suffix: (image) => layerTag(image, c),
        platform: "linux/amd64",
        push: c.registry ?? `localhost:${port}`,
        pull: c.registry ?? `${machine?.address}:${c.registryPort}`,
        ...(login ? { user: login.user, password: secrets.of(login.secret) } : {}),
        ...(storage ? { storage } : {}),
        reachable:
          machine && registry && operations.waits
            ? registry.ready
                .then(() => targetOf(machine, this.#groups))
                .then((target) => operations.forward(target, PUSH_ADDRESS, port))
                .catch(never)
            : Promise.resolve(),
      },
      { parent: this },
    );
  }

  /** The Mesos in each image that holds one. */
  #mesos(): ImagesArgs["mesos"] {
    const { cluster, mesosArchives } = this.#args;
    const entries = MESOS_IMAGES.flatMap((name) => {
      const source = mesosIn(name, cluster.config);
      const sha256 = source === undefined ? undefined : mesosArchives?.get(source);
      return source !== undefined && sha256
        ? [[name, { sha256, parts: mesosParts(source, cluster.config), tag: mesosTag(source) }] as const]
        : [];
    });
    return Object.fromEntries(entries);
  }

  /** Registers a group, unless it is registered already or has no machines. */
  #group(name: string, base: Base, group: Group): MachineGroup | undefined {
    const there = this.#groups.get(group);
    if (there || this.#machines(group).length === 0) return there;
    const made = new MachineGroup(`${name}-${group}`, this.#groupArgs(group, base), { parent: this });
    this.#groups.set(group, made);
    return made;
  }

  #groupArgs(group: Group, base: Base): MachineGroupArgs {
    const { cluster, imageId, flavorIds, operations } = this.#args;
    const c = cluster.config;
    const { network, firewall, keyPair } = base;
    return {
      clusterName: cluster.name,
      group,
      machines: this.#machines(group),
      configurations: this.#configurations(group, base),
      networkId: network.networkId,
      subnetId: network.subnetId,
      securityGroupId: firewall.of(group),
      routerInterfaces: network.routerInterfaces,
      imageId,
      image: c.image ?? "",
      ...(c.bootVolumeGb === undefined ? {} : { bootVolumeGb: c.bootVolumeGb }),
      configDrive: c.configDrive,
      flavorIds,
      keyName: keyPair.keyName,
      serverGroups: serverGroups(cluster).filter((g) => this.#isIn(group, g.members)),
      ...(c.volumeType ? { volumeType: c.volumeType } : {}),
      protectData: c.protectData,
      batchSize: GROUPS[group].batch(c),
      readyTimeoutSeconds: c.readyTimeoutSeconds,
      operations,
      refusesTwins: this.#refusesTwins,
      tellsOfTwins: this.#tellsOfTwins,
      after: this.#before(group),
    };
  }

  /** User data and hash of each machine of a group, known as soon as the secrets and digests in them are. */
  #configurations(group: Group, { secrets, cloud, images }: Base): pulumi.Output<ReadonlyMap<string, Configuration>> {
    const { cluster, imageId } = this.#args;
    const c = cluster.config;
    const machines = this.#machines(group);
    const policies = new Map(serverGroups(cluster).flatMap((g) => g.members.map((m) => [m, g.policy] as const)));
    return valuesOf(this.#references(group), secrets, cloud, images).apply(
      (lookUp) =>
        new Map(
          machines.map((machine) => {
            const { flavor = "", availabilityZone = "", volumeGb = 0, scratchGb = 0 } = machine;
            const antiAffinity = policies.get(machine.name) ?? "";
            const keyName = c.keyPair ?? cluster.name;
            const { bootVolumeGb = 0, configDrive } = c;
            const disks = { volumeGb, scratchGb, bootVolumeGb, configDrive };
            const settings = { imageId, flavor, keyName, availabilityZone, ...disks, antiAffinity };
            const { publicKey } = hostKey(fill(secret(SECRET_NAMES.hostKeys), lookUp), machine.name);
            const userData = renderUserData(cluster, machine, this.#checkout, withHostKey(machine.name, lookUp));
            return [machine.name, configure(userData, publicKey, settings)];
          }),
        ),
    );
  }

  #machines(group: Group): Machine[] {
    return this.#args.cluster.machines.filter((machine) => machine.group === group);
  }

  /** What the user data of a group's machines refers to: machines of a group are alike, so the first one tells. */
  #references(group: Group): Reference[] {
    const [machine] = this.#machines(group);
    return machine ? userDataReferences(this.#args.cluster, machine) : [];
  }

  #isIn(group: Group, names: readonly string[]): boolean {
    return this.#machines(group).some((machine) => machine.name === names[0]);
  }

  /** Resolves when every group that comes before this one in `GROUP_NAMES` has finished its replacements. */
  #before(group: Group): Promise<void> {
    const earlier = GROUP_NAMES.slice(0, GROUP_NAMES.indexOf(group)).flatMap(
      (g) => this.#groups.get(g)?.replaced ?? [],
    );
    return Promise.all(earlier).then(() => {});
  }

  /** Gives `operations` the key and the bastion as soon as both are known. */
  #connect(keyPair: KeyPair, bastion: Bastion | undefined): void {
    const { cluster, operations } = this.#args;
    if (!operations.waits) return;
    const serverId = bastion?.machines.instanceIds.get("bastion");
    pulumi
      .all([keyPair.privateKey, this.sshKnownHosts, bastion?.address, serverId])
      .apply(([privateKey, knownHosts, address, id]) => {
        const alias = { hostKeyAlias: hostKeyAlias(cluster, { name: "bastion" }) };
        const through = address && id ? { bastion: { name: "bastion", address, ...alias } } : {};
        operations.reach({ privateKey, knownHosts, ...through });
      });
  }

  #sparkProperties({ secrets, cloud }: Base, images: Images): pulumi.Output<Record<string, string>> {
    const { conf } = this.#args.cluster.spark;
    const filled = valuesOf(references(conf), secrets, cloud, images).apply((lookUp) => fill(conf, lookUp));
    return pulumi.secret(filled);
  }
}

const imageNames = (reference: Reference): ImageName[] => (reference.kind === "image" ? [reference.name] : []);
/** What every group of machines is made with. */
interface Base {
  network: Network;
  firewall: Firewall;
  keyPair: KeyPair;
  secrets: ClusterSecrets;
  cloud: CloudValues;
  /** Absent for the bastion and the registry, which exist before the images and run none of them. */
  images?: Images;
}
