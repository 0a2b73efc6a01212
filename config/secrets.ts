import type { ConfigKey } from "./schema.ts";

/** Config keys whose values are secret, and the secrets of the cluster that they become. */
export const SECRET_KEYS = {
  oidcClientSecret: "oidc-client-secret",
  registryPassword: "registry-password",
  s3SecretKey: "s3-secret-key",
  tlsKey: "tls-key",
} as const satisfies Partial<Record<ConfigKey, string>>;

/** Config key whose value is secret. */
export type SecretKey = keyof typeof SECRET_KEYS;

/** What stands in a config in place of a value that only the Pulumi CLI can read, and that the definition need not know. */
export const HIDDEN = "(secret)";

/** Whether the value of a config key is secret. */
export const isSecretKey = (key: string): key is SecretKey => Object.hasOwn(SECRET_KEYS, key);

/** Texts that the definition computes with: a plan, which decrypts nothing, must be able to read them. */
const COMPUTED_WITH = ["clusterName", "bindAddress", "domain", "tlsCertificate"] as const;

/** Whether a text of the config may be one that is not known here. */
export const mayBeHidden = (key: string): boolean => !(COMPUTED_WITH as readonly string[]).includes(key);

/** Secrets that the config gives, by the name that they have in the cluster. */
export function givenSecrets<T>(values: Readonly<{ [K in SecretKey]?: T | undefined }>): Record<string, T> {
  return Object.fromEntries(
    (Object.keys(SECRET_KEYS) as SecretKey[]).flatMap((key) => {
      const value = values[key];
      return value ? [[SECRET_KEYS[key], value]] : [];
    }),
  );
}
