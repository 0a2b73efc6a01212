"use strict";
/**
 * Loaded before the program (`nodeargs` in `Pulumi.yaml`) to make it start sooner and register faster. Without it
 * everything works the same, only slower: bench/README.md has the figures.
 *
 * Three parts change how Pulumi's SDK works inside. Each leaves the SDK alone where it is not what we know, and all of
 * them are off with TRIPLEWIDE_PRELOAD=off (with `pulumi up --debug`, say, when a fault of the SDK itself is looked for).
 */
const fs = require("node:fs");
const Module = require("node:module");
const path = require("node:path");

if (process.env.TRIPLEWIDE_PRELOAD !== "off") {
  const cache = path.join(__dirname, "..", "node_modules", ".cache", "triplewide");
  Module.enableCompileCache?.(cache);
  loadLater(["typescript", "@npmcli/arborist"]);
  loadLater(["exporter-zipkin", "instrumentation-grpc", "instrumentation", "sdk-trace-node", "sdk-trace-base", "resources"].map((name) => `@opentelemetry/${name}`));
  keepStripped(path.join(cache, "stripped"));
  registerCheaply();
}

/** What the SDK loads for serialised functions and for tracing, which a program without either never calls. */
function loadLater(names) {
  const later = new Set(names);
  const load = Module._load;
  Module._load = function (request, ...rest) {
    // Types are stripped in place: lines and columns are right as they are, and no stack trace needs a source map.
    if (request === "source-map-support/register") return {};
    if (!later.has(request)) return load.call(this, request, ...rest);
    let real;
    return standIn(() => (real ??= load.call(Module, request, ...rest)), true);
  };
}

/** Something that can be held and passed on like a module, and becomes it as soon as it is used. */
function standIn(get, isModule) {
  return new Proxy(() => {}, {
    get: (_, key) => {
      if (typeof key === "symbol") return get()[key];
      if (key === "__esModule") return true;
      if (!isModule) return get()[key];
      return key === "default" ? standIn(() => get().default ?? get(), false) : standIn(() => get()[key], false);
    },
    has: (_, key) => key in get(),
    apply: (_, self, args) => Reflect.apply(get(), self, args),
    construct: (_, args) => Reflect.construct(get(), args),
  });
}

/** Node 22 strips the types of every file again at every start; its compile cache begins after that. */
function keepStripped(folder) {
  if (!Module.registerHooks || !Module.stripTypeScriptTypes) return;
  Module.registerHooks({
    load(url, context, next) {
      if (!url.startsWith("file:") || !url.endsWith(".ts") || url.includes("/node_modules/")) return next(url, context);
      const file = require("node:url").fileURLToPath(url);
      const { mtimeMs, size } = fs.statSync(file);
      const kept = path.join(folder, `${encodeURIComponent(file).slice(-150)}-${mtimeMs}-${size}-${process.version}.js`);
      let source;
      try {
        source = fs.readFileSync(kept, "utf8");
      } catch {
        source = Module.stripTypeScriptTypes(fs.readFileSync(file, "utf8"), { mode: "strip" });
        keep(kept, source);
      }
      return { format: "module", source, shortCircuit: true };
    },
  });
}

/** Another program may do the same at this moment, and a folder may be read-only: neither is a reason to fail. */
function keep(file, text) {
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(`${file}.${process.pid}`, text);
    fs.renameSync(`${file}.${process.pid}`, file);
  } catch {}
}

/** What the SDK does for each resource that helps nobody: three remote calls for debug lines, twenty stack traces. */
function registerCheaply() {
  const sdk = path.dirname(require.resolve("@pulumi/pulumi/package.json", { paths: [path.join(__dirname, "..")] }));
  const log = require(path.join(sdk, "log", "index.js"));
  if (typeof log.debug === "function") log.debug = () => Promise.resolve();
  const promises = require(path.join(sdk, "runtime", "debuggable.js"));
  const { debuggablePromise } = promises;
  if (typeof debuggablePromise !== "function") return;
  promises.debuggablePromise = (promise, context) => {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    try {
      return debuggablePromise(promise, context);
    } finally {
      Error.stackTraceLimit = limit;
    }
  };
}
