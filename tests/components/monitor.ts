import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import * as pulumi from "@pulumi/pulumi";
import { describeCluster, validate } from "../../cluster/load.ts";
import type { Cluster } from "../../cluster/types.ts";
import { type Operations, passive } from "../../components/operations.ts";
import { SparkCluster } from "../../components/spark-cluster.ts";
import type { Architecture } from "../../config/schema.ts";
import type { SecretKey } from "../../config/secrets.ts";
import type { RawConfig } from "../../config/validate.ts";
import { ROOT } from "../../lib/root.ts";
import type { ObjectStoreFacts } from "../../openstack/object-store.ts";
import type { ShareFacts } from "../../openstack/share.ts";
import { CLOUD, HIGHLY_AVAILABLE, mesosOf } from "../fixtures/configs.ts";

/**
 * Pulumi's mock runtime with a recorder of every registration as the engine gets it, with inputs and options. Pulumi's own
 * mocks pass only inputs, without the marks of secrets.
 */

/** A registration. In `inputs`, a value that is marked secret is `{ secret: value }`. */
export interface Registration {
  type: string;
  name: string;
  parent: string;
  custom: boolean;
  inputs: Record<string, unknown>;
  /** Options that differ from their defaults. */
  options: Record<string, unknown>;
  /** Outputs that a component, or the stack, has registered. */
  outputs: Record<string, unknown>;
}

interface Request {
  getType(): string;
  getName(): string;
  getParent(): string;
  getCustom(): boolean;
  getProtect(): boolean;
  getObject(): { toJavaScript(): Record<string, unknown> } | undefined;
  getDependenciesList(): string[];
  getDeletebeforereplace(): boolean;
  getReplaceonchangesList(): string[];
  getIgnorechangesList(): string[];
  getAliasesList(): unknown[];
  getAdditionalsecretoutputsList(): string[];
  getDeletedwith(): string;
  getRetainondelete(): boolean;
  getReplacementTrigger(): { toJavaScript(): unknown } | undefined;
  getVersion(): string;
  getHooks():
    | { getOnErrorList(): string[]; getBeforeCreateList(): string[]; getAfterCreateList(): string[] }
    | undefined;
  getPropertydependenciesMap(): { entries(): Iterable<[string, { getUrnsList(): string[] }]> };
}

type Callback = (error: Error | null, response?: unknown) => void;
interface Monitor {
  registerResource(request: Request, callback: Callback): void;
  registerErrorHook(request: unknown, callback: Callback): void;
  registerResourceHook(request: unknown, callback: Callback): void;
  registerResourceOutputs(
    request: { getUrn(): string; getOutputs(): { toJavaScript(): unknown } },
    callback: Callback,
  ): void;
}

export const SECRET_MARK = "made-up-secret";

/** The providers' answers. All secret values begin with the same text, so that tests can search for them. */
function outputsOf(args: pulumi.runtime.MockResourceArgs): Record<string, unknown> {
  switch (args.type) {
    case "random:index/randomPassword:RandomPassword":
      return { ...args.inputs, result: pulumi.secret(`${SECRET_MARK}-${args.name}`) };
    case "openstack:compute/keypair:Keypair":
      return { ...args.inputs, privateKey: pulumi.secret(`${SECRET_MARK}-private-key`) };
    case "openstack:networking/floatingIp:FloatingIp":
      return { ...args.inputs, address: "203.0.113.10" };
    case "openstack:identity/ec2CredentialV3:Ec2CredentialV3":
      return { ...args.inputs, access: "ACCESS", secret: pulumi.secret(`${SECRET_MARK}-s3`) };
    case "openstack:sharedfilesystem/share:Share":
      return {
        ...args.inputs,
        exportLocations: [
          { path: "[2001:db8::5]:/shares/1", preferred: "True" },
          { path: "10.254.0.9:/shares/1", preferred: "False" },
          { path: "10.254.0.5:/shares/1", preferred: "False" },
        ],
      };
    case "docker:index/image:Image": {
      const digest = createHash("sha256").update(JSON.stringify(args.inputs)).digest("hex");
      return { ...args.inputs, repoDigest: `${args.inputs.imageName.replace(/:[^:/]+$/, "")}@sha256:${digest}` };
    }
    default:
      return args.inputs;
  }
}

/** The signature by which the SDK marks a secret on the wire. */
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270";
const UNKNOWN_ON_THE_WIRE = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

function readable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(readable);
  if (value === UNKNOWN_ON_THE_WIRE) return UNKNOWN;
  if (typeof value !== "object" || value === null) return value;
  const record = value as Record<string, unknown>;
  if (record[SIGNATURE] === SECRET_SIGNATURE) return { secret: readable(record.value) };
  return Object.fromEntries(
    Object.entries(record).map(([key, item]) => [key, key === "userData" ? unpacked(readable(item)) : readable(item)]),
  );
}

/** A server's user data as cloud-init reads it. */
function unpacked(userData: unknown): unknown {
  if (typeof userData !== "object" || userData === null) return userData;
  const { secret } = userData as { secret: string };
  return { secret: gunzipSync(Buffer.from(secret, "base64")).toString() };
}

const nameOf = (urn: string): string => urn.split("::").slice(2).join(" ");

function optionsOf(request: Request): Record<string, unknown> {
  const depends = [...request.getDependenciesList()].map(nameOf).sort();
  const options: Record<string, unknown> = {
    dependsOn: depends,
    protect: request.getProtect(),
    deleteBeforeReplace: request.getDeletebeforereplace(),
    replaceOnChanges: request.getReplaceonchangesList(),
    ignoreChanges: request.getIgnorechangesList(),
    aliases: request.getAliasesList(),
    additionalSecretOutputs: request.getAdditionalsecretoutputsList(),
    deletedWith: nameOf(request.getDeletedwith()),
    retainOnDelete: request.getRetainondelete(),
    beforeCreate: request.getHooks()?.getBeforeCreateList() ?? [],
    afterCreate: request.getHooks()?.getAfterCreateList() ?? [],
    onError: request.getHooks()?.getOnErrorList() ?? [],
    replacementTrigger: request.getReplacementTrigger()?.toJavaScript(),
  };
  return Object.fromEntries(Object.entries(options).filter(([, v]) => v && !(Array.isArray(v) && v.length === 0)));
}

export interface Run {
  cluster: Cluster;
  /** In the order of their registration. */
  resources: Registration[];
  spark: SparkCluster;
  /** Outputs of the cluster; secret ones are `{ secret: value }`. */
  outputs: Record<string, unknown>;
}

export interface RunOptions {
  preview?: boolean;
  operations?: Operations;
  objectStore?: ObjectStoreFacts;
  share?: ShareFacts;
  baseImage?: string;
  secrets?: Partial<Record<SecretKey, string>>;
  /** Called for each registration before it is answered. */
  onRegister?: (registration: Registration) => void;
}

/** Ids that the mocked cloud gives to resources that the config names. */
export const IMAGE_ID = "5d1c7d0e-image";

/** Registers a whole cluster and records everything. */
export async function run(config: RawConfig, options: RunOptions = {}): Promise<Run> {
  const started = await start(config, options);
  await settled();
  return { ...started, outputs: await outputsOfCluster(started.spark) };
}

/** Starts to register a cluster. Resources that wait for a permit may not be registered yet when this returns. */
export async function start(config: RawConfig, options: RunOptions = {}): Promise<Omit<Run, "outputs">> {
  const resources: Registration[] = [];
  const preview = options.preview ?? false;
  await pulumi.runtime.setMocks(
    {
      newResource: (args) => ({
        id: args.custom && !preview ? `${args.name}-id` : undefined,
        state: preview ? args.inputs : outputsOf(args),
      }),
      call: (args) => {
        throw new Error(`nothing is to be asked of a provider: ${args.token}`);
      },
    },
    "triplewide",
    "env",
    preview,
  );
  record((registration) => {
    resources.push(registration);
    options.onRegister?.(registration);
  });
  const cluster = describeCluster(validate(config, "env"));
  const ids = Object.fromEntries(cluster.machines.map(({ flavor = "" }) => [flavor, `id-of-${flavor}`]));
  // Archives whose digests differ from those of their sources, as for archives taken out of container images.
  const { mesosSource, libmesosSource } = cluster.config;
  const sources = [mesosSource, libmesosSource].filter((source) => source !== undefined);
  const mesosArchives = new Map(sources.map((source) => [source, archiveOf(source)]));
  let spark: SparkCluster | undefined;
  await pulumi.runtime.runInPulumiStack(async () => {
    spark = new SparkCluster(cluster.name, {
      cluster,
      root: ROOT,
      imageId: IMAGE_ID,
      flavorIds: ids,
      externalNetworkId: "external-id",
      externalNetwork: "public",
      mesosArchives,
      objectStore: options.objectStore,
      share: options.share,
      ...(options.baseImage ? { baseImage: options.baseImage } : {}),
      operations: options.operations ?? passive(),
      ...(options.secrets ? { secrets: options.secrets } : {}),
    });
  });
  if (!spark) throw new Error("no cluster was made");
  return { cluster, resources, spark };
}

class Probe extends pulumi.CustomResource {}
let barriers = 0;

/**
 * Registers resources one after the other, each when the one before it has been answered. It registers more than a machine
 * consists of, by the same way through the SDK. Therefore everything that could be registered when this was called has been
 * registered when it returns; a resource that has not must be waiting for something else.
 */
export async function barrier(): Promise<void> {
  barriers++;
  for (let step = 1; step <= 10; step++) {
    const probe = new Probe("test:index:Barrier", `barrier-${barriers}-${step}`, {
      before: pulumi.output(`step ${step - 1}`).apply(async (text) => text),
    });
    await new Promise((resolve) => probe.id.apply(resolve));
  }
}

/** The digest that the archive from a source of Mesos must have. */
export const archiveOf = (source: string): string => createHash("sha256").update(source).digest("hex");

/** Waits until the SDK has nothing left to register. */
async function settled(): Promise<void> {
  const { waitForRPCs } = pulumi.runtime as unknown as { waitForRPCs(): Promise<void> };
  await waitForRPCs();
}

async function outputsOfCluster(spark: SparkCluster): Promise<Record<string, unknown>> {
  const outputs: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(spark)) {
    if (key.startsWith("__") || key === "urn" || !pulumi.Output.isInstance(value)) continue;
    const output = value as unknown as { promise(): unknown; isSecret: Promise<boolean>; isKnown: Promise<boolean> };
    const plain = (await output.isKnown) ? await output.promise() : UNKNOWN;
    outputs[key] = (await output.isSecret) ? { secret: plain } : plain;
  }
  return outputs;
}

export const UNKNOWN = "(unknown)";

/** Puts a recorder before the mock monitor. */
function record(take: (registration: Registration) => void): void {
  const byUrn = new Map<string, Registration>();
  const monitor = (pulumi.runtime as unknown as { getMonitor(): Monitor }).getMonitor();
  const { registerResource, registerResourceOutputs } = monitor;
  // Pulumi's mocks do not implement this call, and the SDK would wait for its answer.
  monitor.registerErrorHook = (_, callback) => callback(null);
  monitor.registerResourceHook = (_, callback) => callback(null);
  monitor.registerResource = (request, callback) => {
    const registration: Registration = {
      type: request.getType(),
      name: request.getName(),
      parent: nameOf(request.getParent()),
      custom: request.getCustom(),
      inputs: readable(request.getObject()?.toJavaScript() ?? {}) as Record<string, unknown>,
      options: optionsOf(request),
      outputs: {},
    };
    take(registration);
    registerResource.call(monitor, request, (error, response) => {
      if (response) byUrn.set((response as { getUrn(): string }).getUrn(), registration);
      callback(error, response);
    });
  };
  monitor.registerResourceOutputs = (request, callback) => {
    const registration = byUrn.get(request.getUrn());
    if (registration) registration.outputs = readable(request.getOutputs().toJavaScript()) as Record<string, unknown>;
    registerResourceOutputs.call(monitor, request, callback);
  };
}

/** A config of each architecture that has every kind of machine. */
export function configOf(architecture: Architecture, more: RawConfig = {}): RawConfig {
  return {
    ...CLOUD,
    ...HIGHLY_AVAILABLE,
    clusterName: "demo",
    architecture,
    bastionFlavor: "m1.small",
    agentCount: 3,
    ...mesosOf(architecture),
    ...more,
  };
}
