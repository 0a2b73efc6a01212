import { expect, test } from "vitest";
import { captured } from "../../lib/exec.ts";

test("what a program says arrives whole, wherever the pipe cuts it", async () => {
  // Characters of two bytes at odd offsets, so that the pipe's buffer always ends in the middle of one.
  const program = 'for (const stream of [process.stdout, process.stderr]) stream.write("x" + "ä".repeat(200000))';
  const { code, output } = await captured(process.execPath, ["-e", program]);
  expect(code).toBe(0);
  expect(output).not.toContain("\ufffd");
  expect(output.length).toBe(2 * 200_001);
});

test("a program that ends by itself says how, and one that a signal ends has failed", async () => {
  expect(await captured("sh", ["-c", "echo said; exit 7"])).toEqual({ code: 7, output: "said\n", stdout: "said\n" });
  expect(await captured("sh", ["-c", "echo warned >&2"])).toEqual({ code: 0, output: "warned\n", stdout: "" });
  expect((await captured("sh", ["-c", "kill $$"])).code).toBe(1);
  await expect(captured("/nowhere/at-all", [])).rejects.toMatchObject({ code: "ENOENT" });
});
