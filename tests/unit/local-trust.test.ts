import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { afterAll, expect, test } from "vitest";
import { validate } from "../../cluster/load.ts";
import { ownAuthorities, trustingThisMachine } from "../../local/trust.ts";

const folder = mkdtempSync(join(tmpdir(), "triplewide-trust-"));
afterAll(() => rmSync(folder, { recursive: true }));

const OWN = `MII${"x".repeat(100)}==`;
const PEM = `-----BEGIN CERTIFICATE-----\n${OWN.slice(0, 64)}\n${OWN.slice(64)}\n-----END CERTIFICATE-----`;
const [PUBLIC = ""] = rootCertificates;

test("a client on this machine trusts whom the machine trusts besides the public authorities", () => {
  const bundle = join(folder, "bundle.pem");
  writeFileSync(bundle, `# Whose it is\n${PUBLIC}\n${PEM}\n`);
  const config = validate({ platform: "docker", architecture: "standalone" }, "test");
  const trusted = (env: Record<string, string>, own = config): string[] =>
    trustingThisMachine(own, env).trustedCertificates;

  expect(ownAuthorities(`${PUBLIC}\n`)).toEqual([]);
  expect(trusted({ SSL_CERT_FILE: bundle })).toEqual([OWN]);
  expect(trusted({ SSL_CERT_FILE: join(folder, "not-there"), NODE_EXTRA_CA_CERTS: bundle })).toEqual([OWN]);
  expect(trusted({})).toEqual([]);
  // The key's grammar accepts the result, and a value in the config has precedence.
  const said = validate({ platform: "docker", architecture: "standalone", trustedCertificates: [OWN] }, "test");
  expect(trusted({ SSL_CERT_FILE: bundle }, said)).toEqual([OWN]);
});
