import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Docker, docker } from "../../local/docker.ts";
import type { TestCluster } from "../containers/harness.ts";

/** Jars of Maven in a session. The last test changes the cluster's config. */
export function packagesSuite(d: Docker, cluster: TestCluster): void {
  /** What the cells of `jars_packages.py` say, by their name. */
  async function saidBy(words: readonly string[]): Promise<Record<string, string>> {
    const { output } = await cluster.exec("client", ["python3", "/tmp/jars_packages.py", ...words]);
    return JSON.parse(/^\{".*\}$/m.exec(output)?.[0] ?? `"${output.slice(-2000)}"`);
  }

  /** The files of a Maven repository that holds one jar, which holds one Python module, by their path. */
  async function repository(group: string, name: string, version: string, module: string): Promise<[string, Buffer][]> {
    const zip = `import sys, zipfile; zipfile.ZipFile(sys.argv[1], "w").writestr(sys.argv[2], sys.argv[3])`;
    await cluster.exec("client", ["python3", "-c", zip, "/tmp/module.jar", `${name}.py`, module]);
    const folder = mkdtempSync(join(tmpdir(), "triplewide-maven-"));
    await docker(d, ["cp", `${cluster.container("client")}:/tmp/module.jar`, folder]);
    const jar = readFileSync(join(folder, "module.jar"));
    rmSync(folder, { recursive: true });
    const coordinates = `<groupId>${group.replaceAll("/", ".")}</groupId><artifactId>${name}</artifactId><version>${version}</version>`;
    const pom = `<project><modelVersion>4.0.0</modelVersion>${coordinates}</project>`;
    const path = `/maven/${group}/${name}/${version}/${name}-${version}`;
    return [
      [`${path}.jar`, jar],
      [`${path}.pom`, Buffer.from(pom)],
    ];
  }

  describe("packages of Maven", () => {
    test("jars of Maven come with a session, also where one ran before, and executors have them", async () => {
      await cluster.bring("jars_packages.py", "notebook_messages.py");
      const said = await saidBy(["delta"]);
      expect(said.ignored).toContain("only a new session takes spark.jars.packages");
      expect(said["no jars"]).toContain("its jars are not in this session");
      expect(said.stopped).toContain("rows 50");
      expect(said.extensions).toContain("triplewide.guard.PlanCheck,io.delta.sql.DeltaSparkSessionExtension");
      expect(said.unshared).toContain("file:/tmp/delta-table was refused");
      expect(said.memory).toMatch(/MiB 600 rows 3/);
      expect(said["not there"]).toMatch(/spark.jars.packages=org.example:not-there:1.*mavenMirror/);
      expect(said.fresh).toContain("rows 50");
      expect(said.fresh).not.toContain("Starting Spark");
    });

    test("with mavenMirror, jars come from there alone", async () => {
      await cluster.bring("jars_packages.py", "notebook_messages.py");
      const asked: string[] = [];
      const files = new Map(
        await repository("org/example", "greeting", "1.0", "def hello():\n    return 'from the mirror'\n"),
      );
      const mirror = createServer((request, response) => {
        asked.push(request.url ?? "");
        const file = files.get(request.url ?? "");
        response.writeHead(file ? 200 : 404).end(file);
      });
      await new Promise<void>((resolve) => mirror.listen(0, cluster.gateway, resolve));
      try {
        const { port } = mirror.address() as AddressInfo;
        const settings = ["--set", `mavenMirror=http://${cluster.gateway}:${port}/maven`];
        const { code, output } = await cluster.cli("up", ["--no-smoke", ...settings]);
        expect(code, output).toBe(0);
        await cluster.bring("jars_packages.py", "notebook_messages.py");
        const { modules } = await saidBy(["org.example:greeting:1.0", "greeting"]);
        expect(modules).toContain("['from the mirror']");
        expect(modules).not.toMatch(/found .* in (central|spark-packages)/);
        expect(asked).toContain("/maven/org/example/greeting/1.0/greeting-1.0.jar");
      } finally {
        mirror.close();
      }
    });
  });
}
