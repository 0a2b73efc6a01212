import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { ROOT } from "../../lib/root.ts";

/** The guard between Mesos' agents and Docker, with a stand-in for Docker that prints its arguments. */

const folder = mkdtempSync(join(tmpdir(), "guard-"));
afterAll(() => rmSync(folder, { recursive: true }));

const IMAGE = "registry.example.org/spark-python@sha256:0000";
const work = join(folder, "agent");
const run = `${work}/slaves/s/frameworks/f/executors/e/runs/0a-1`;
mkdirSync(run, { recursive: true });
// A link that a task can make in its own sandbox.
symlinkSync("/", join(run, "link"));
mkdirSync(join(work, "slaves/s/frameworks/f/executors/evil/runs"), { recursive: true });
symlinkSync("/etc", join(work, "slaves/s/frameworks/f/executors/evil/runs/0b-2"));
// Mesos makes such a link for a sandbox whose path has a colon.
mkdirSync(join(work, "slaves/s/docker/links"), { recursive: true });
symlinkSync(run, join(work, "slaves/s/docker/links/0c-3"));

const policy = join(folder, "policy.json");
writeFileSync(
  policy,
  JSON.stringify({
    images: [IMAGE, "root:1"],
    volumes: {
      "/var/lib/spark/work": { mode: "rw" },
      "/etc/spark/spark-defaults.conf": { mode: "ro", role: "marathon" },
      "/etc/spark/executor.token": { mode: "ro", notRoles: ["batch"] },
    },
    processes: 1000,
    workDir: work,
  }),
);
const docker = join(folder, "docker");
writeFileSync(
  docker,
  '#!/bin/bash\nif [[ $* == *"image inspect"* ]]; then [[ $* == *root:1 ]] && echo root || echo spark; exit; fi\nprintf "%s\\n" "$@"\n',
  { mode: 0o755 },
);

function guard(...words: string[]): { code: number | null; out: string; error: string } {
  const { status, stdout, stderr } = spawnSync(
    "python3",
    ["-I", join(ROOT, "cluster/services/mesos/docker-guard.py"), "-H", "unix:///sock", ...words],
    {
      encoding: "utf8",
      env: { ...process.env, GUARD_POLICY: policy, GUARD_DOCKER: docker, GUARD_CONTAINER: "/none" },
    },
  );
  return { code: status, out: stdout, error: stderr };
}

test("a folder that is mounted in another one is known to Docker by its own mount, whichever is said first", () => {
  const nested = join(folder, "nested");
  const mounts = "/w /host/w\\n/w/users /host/users\\n/w/users/deep /host/deep\\n";
  writeFileSync(nested, `#!/bin/bash\nprintf '${mounts}'\n`, { mode: 0o755 });
  const code = `
import importlib.util, os
spec = importlib.util.spec_from_file_location("guard", ${JSON.stringify(join(ROOT, "cluster/services/mesos/docker-guard.py"))})
guard = importlib.util.module_from_spec(spec)
spec.loader.exec_module(guard)
g = guard.Guard.__new__(guard.Guard)
g.docker, g.container = [${JSON.stringify(nested)}], {"SELF": "x"}
print([g.host_path(path) for path in ("/w", "/w/users", "/w/users/deep/x", "/w/usersx", "/other")])
# On a machine a folder may lie elsewhere than containers have it.
g.container, g.policy = None, {"volumes": {"/w": {"mode": "rw"}, "/w/users": {"mode": "rw", "at": "/users"}}}
print([g.host_path(path) for path in ("/w", "/w/users", "/other")])`;
  const { stdout, stderr } = spawnSync("python3", ["-c", code], { encoding: "utf8" });
  expect(stdout.trim(), stderr).toBe(
    "['/host/w', '/host/users', '/host/deep/x', '/host/w/usersx', '/other']\n['/w', '/users', '/other']",
  );
});

/** Docker's arguments for a task, as from Mesos 1.11, with additional ones. */
const task = (more: string[], image = IMAGE): string[] => [
  ...[
    "run",
    "--cpu-shares",
    "1024",
    "--memory",
    "1476395008",
    "-e",
    "LANG=C.UTF-8",
    "-e",
    "MESOS_ALLOCATION_ROLE=spark",
  ],
  ...["-v", `${run}:/mnt/mesos/sandbox`, "--net", "host", "--entrypoint", "/bin/sh", "--name", "mesos-0a-1"],
  ...[...more, image, "-c", "--privileged"],
];

describe("a task's container", () => {
  test("is what Mesos asks for, with nothing that it could gain by", () => {
    const { code, out, error } = guard(
      ...task(["--shm-size=2048m", "--network=host", "-v", "/var/lib/spark/work:/w:rw"]),
    );
    expect(error).toBe("");
    expect(code).toBe(0);
    const words = out.split("\n");
    expect(out.startsWith("-H\nunix:///sock\nrun\n")).toBe(true);
    expect(out).toContain("--cap-drop\nALL\n--security-opt\nno-new-privileges\n--pids-limit\n1000\n--network\nhost\n");
    expect(words).toContain(`${run}:/mnt/mesos/sandbox`);
    expect(words).toContain("/var/lib/spark/work:/w:rw");
    // Words after the image are the task's own command, and stay as they are.
    expect(words.slice(words.indexOf(IMAGE))).toEqual([IMAGE, "-c", "--privileged", ""]);
  });

  test("has the label that Marathon gives each of its tasks", () => {
    const label = "--label=MESOS_TASK_ID=spark_master.instance-1ea269e5-eafa-11f1-a4ee-02420a3f0010._app.1";
    const { code, out, error } = guard(...task([label]));
    expect(error).toBe("");
    expect(code).toBe(0);
    expect(out.split("\n")).toContain(label);
    expect(guard(...task(["--label=MESOS_TASK_ID=a,triplewide.machine=other"])).code).toBe(125);
  });

  test("has the sandbox by Mesos' link, and a file for the role that may have it", () => {
    const link = `${work}/slaves/s/docker/links/0c-3:/mnt/mesos/sandbox`;
    expect(guard("run", "-v", link, "--name", "mesos-1", IMAGE).code).toBe(0);
    const file = "/etc/spark/spark-defaults.conf:/etc/spark/spark-defaults.conf:ro";
    expect(guard("run", "-e", "MESOS_ALLOCATION_ROLE=marathon", "-v", file, "--name", "mesos-1", IMAGE).code).toBe(0);
    const secret = "/etc/spark/executor.token:/etc/spark/executor.token";
    const asks = (role: string, volume: string) =>
      guard("run", "-e", `MESOS_ALLOCATION_ROLE=${role}`, "-v", volume, "--name", "mesos-1", IMAGE);
    for (const role of ["spark", "etl"]) expect(asks(role, `${secret}:ro`).code).toBe(0);
    expect(asks("batch", `${secret}:ro`).error).toContain(`refused: the volume ${secret}:ro; tasks may have /var/lib`);
    expect(asks("spark", `${secret}:rw`).error).toContain("/etc/spark/executor.token (ro)");
    expect(asks("spark", secret).code).toBe(125);
    // Mesos before 1.9 sets no MESOS_ALLOCATION_ROLE.
    expect(guard("run", "-v", `${secret}:ro`, "--name", "mesos-1", IMAGE).code).toBe(0);
  });

  test.each([
    ["every capability", ["--privileged"], "--privileged"],
    ["the same as a parameter", ["--privileged=true"], "--privileged=true"],
    ["a capability", ["--cap-add=SYS_ADMIN"], "--cap-add"],
    ["the host's processes", ["--pid=host"], "--pid=host"],
    ["the host's users", ["--userns=host"], "--userns=host"],
    ["the host's shared memory", ["--ipc=host"], "--ipc=host"],
    ["a device", ["--device=/dev/sda"], "--device"],
    ["no seccomp", ["--security-opt=seccomp=unconfined"], "no-new-privileges"],
    ["another network", ["--network=container:other"], "--network=container:other"],
    ["another network, as Mesos writes it", ["--net", "bridge"], "tasks have the network of their machine"],
    ["the host's files", ["-v", "/:/host:rw"], "the volume /:/host:rw"],
    ["the host's files by a parameter", ["--volume=/:/host"], "--volume=/:/host"],
    ["the host's files by a mount", ["--mount=type=bind,source=/,target=/host"], "--mount"],
    ["Docker's socket", ["-v", "/run/docker.sock:/run/docker.sock:rw"], "the volume /run/docker.sock"],
    ["a folder in one that it may have, which could be a link", ["-v", "/var/lib/spark/work/x:/x:rw"], "the volume"],
    ["a link in its sandbox", ["-v", `${run}/link:/mnt/mesos/sandbox`], "the volume"],
    ["a way out of its sandbox", ["-v", `${run}/../../../../../../../..:/mnt/mesos/sandbox`], "the volume"],
    [
      "a sandbox that is a link",
      ["-v", `${work}/slaves/s/frameworks/f/executors/evil/runs/0b-2:/mnt/mesos/sandbox`],
      "no sandbox",
    ],
    ["the secrets of another role", ["-v", "/etc/spark/spark-defaults.conf:/c:ro"], "the volume"],
    ["more of a mount", ["-v", "/var/lib/spark/work:/w:rw,shared"], "the volume"],
    ["another container's volumes", ["--volumes-from=agent"], "--volumes-from"],
    ["a file of the host as its environment", ["--env-file=/etc/mesos/credential.json"], "--env-file"],
    ["a file that root writes", ["--cidfile=/etc/cron.d/x"], "--cidfile"],
    ["a runtime", ["--runtime=other"], "--runtime"],
    ["a group of the host's kernel", ["--cgroup-parent=/"], "--cgroup-parent"],
    ["more memory than it has been given", ["--memory=0"], "--memory=0"],
    ["another's label", ["--label=triplewide.machine=other"], "--label"],
    ["root", ["--user=0"], "root as the user"],
    ["root by name", ["--user=root"], "user must match"],
    ["root's group in words", ["--user=00:0"], "root as the user"],
    ["a name that is none of Mesos'", ["--name", "registry"], "the name registry"],
    ["an option in one word", ["-v/:/host"], "the option -v/:/host"],
    ["an end of options", ["--"], "the option --"],
  ])("never is with %s", (_, more, says) => {
    const { code, out, error } = guard(...task(more));
    expect(error).toMatch(/^docker-guard: refused: /);
    expect(error).toContain(says);
    expect(out).toBe("");
    expect(code).toBe(125);
  });

  test("never is of another image, nor of one whose user is root", () => {
    expect(guard(...task([], "evil:1")).error).toContain("config key taskImages");
    expect(guard(...task([], "root:1")).error).toContain("root as the user");
    expect(guard("pull", "evil:1").code).toBe(125);
    expect(guard("inspect", "evil:1").code).toBe(125);
    expect(guard("pull", IMAGE).code).toBe(0);
  });
});

test.each([
  [["exec", "--privileged", "mesos-1", "sh"]],
  [["exec", "registry", "sh"]],
  [["rm", "-f", "-v", "registry"]],
  [["cp", "mesos-1:/x", "/etc/x"]],
  [["build", "."]],
  [["volume", "rm", "x"]],
  [["-H", "tcp://other", "ps"]],
  [["inspect", "--type=container", "registry"]],
  [["inspect", "--type=volume", "mesos-1"]],
])("nothing else of Docker is to be had: %j", (words) => {
  expect(guard(...words).code).toBe(125);
});

test.each([
  [["ps", "-a"]],
  [["exec", "mesos-1", "sh"]],
  [["rm", "-f", "-v", "mesos-1"]],
  [["inspect", "mesos-1"]],
  // A restarted agent looks for its tasks by this command.
  [["inspect", "--type=container", "mesos-1"]],
  [["inspect", "--type=image", IMAGE]],
])("what agents need is: %j", (words) => {
  expect(guard(...words).code).toBe(0);
});
