/**
 * The lock file of the image's Python packages, packed for user data. Almost all of it is SHA-256 hashes, which stand as
 * base64 here: about half the size, and readable in a review. Not gzip, whose output differs between zlib's versions: the
 * same cluster would get other user data, and new machines, from another computer.
 */
export function packLock(requirements: string): string {
  const logical = requirements
    .replace(/\\\n/g, " ")
    .split("\n")
    .map((line) => line.replace(/(^|\s)#.*$/, "").trim())
    .filter((line) => line !== "");
  return logical
    .map((line) => {
      const hashes = [...line.matchAll(/--hash=sha256:([0-9a-f]{64})/g)].map((match) => match[1] ?? "");
      const requirement = line.replace(/\s*--hash=\S+/g, "").trim();
      if (hashes.length === 0) throw new Error(`requirements.txt: ${requirement} has no hash`);
      const packed = hashes.map((hex) => Buffer.from(hex, "hex").toString("base64").replace(/=+$/, ""));
      return `${requirement}\t${packed.join(" ")}\n`;
    })
    .join("");
}
