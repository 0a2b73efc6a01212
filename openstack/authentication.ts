import type { Credentials } from "./credentials.ts";
import { CloudError } from "./errors.ts";

/** What Keystone is asked for a token, and what is said where it refuses. */

interface AuthRequest {
  auth: { identity: Record<string, unknown>; scope?: { project: Record<string, unknown> } };
}

/**
 * The request for a token: by an application credential, a token, or a password.
 *
 * @throws CloudError naming the field that is missing.
 */
export function authRequest(c: Credentials): AuthRequest {
  const a = c.auth;
  const need = (field: Parameters<Credentials["setting"]>[0], or = ""): never => {
    throw new CloudError(`${c.setting(field)} is not set${or}`);
  };
  if (!a.auth_url) need("auth_url");
  if (!URL.canParse(a.auth_url ?? "")) throw new CloudError(`${c.setting("auth_url")}: ${a.auth_url} is no address`);
  const domain = (owner: "user" | "project"): Record<string, unknown> =>
    a[`${owner}_domain_id`] ? { id: a[`${owner}_domain_id`] } : { name: a[`${owner}_domain_name`] };
  const user = a.user_id ? { id: a.user_id } : { name: a.username, domain: domain("user") };

  if (a.application_credential_id || a.application_credential_name) {
    if (!a.application_credential_secret) need("application_credential_secret");
    if (!a.application_credential_id && !a.user_id && !a.username) need("application_credential_id");
    const named = a.application_credential_id
      ? { id: a.application_credential_id }
      : { name: a.application_credential_name, user };
    return {
      auth: {
        identity: {
          methods: ["application_credential"],
          application_credential: { ...named, secret: a.application_credential_secret },
        },
      },
    };
  }
  if (!a.project_id && !a.project_name) need("project_name");
  const scope = {
    project: a.project_id ? { id: a.project_id } : { name: a.project_name, domain: domain("project") },
  };
  if (a.token && !a.password) return { auth: { identity: { methods: ["token"], token: { id: a.token } }, scope } };
  if (!a.user_id && !a.username) need("username", `, nor ${c.setting("application_credential_id")}`);
  if (!a.password) need("password");
  return {
    auth: { identity: { methods: ["password"], password: { user: { ...user, password: a.password } } }, scope },
  };
}

/** Address of Keystone's version 3, whatever of it `auth_url` names. */
export function identityUrl(c: Credentials): string {
  const base = (c.auth.auth_url ?? "").replace(/\/+$/, "").replace(/\/v2\.0$/, "");
  return /\/v3$/.test(base) ? base : `${base}/v3`;
}

/** What to say where Keystone does not know who asks. */
export function refusedUser(c: Credentials): string {
  const a = c.auth;
  if (a.application_credential_id || a.application_credential_name) {
    return `${c.setting("application_credential_secret")} wrong for application credential ${a.application_credential_id ?? a.application_credential_name} at ${a.auth_url}, or it has expired`;
  }
  if (a.token && !a.password) return `${c.setting("token")} is not valid (any more) at ${a.auth_url}`;
  const domain = a.user_domain_id ?? a.user_domain_name;
  return `${c.setting("password")} wrong for user ${a.username ?? a.user_id} (domain ${domain}) at ${a.auth_url}, or there is no such user`;
}

/** What to say where Keystone knows who asks, and not in that project. */
export function refusedProject(c: Credentials): string {
  const a = c.auth;
  const user = a.username ?? a.user_id ?? "the token's user";
  const field = a.project_id ? "project_id" : "project_name";
  const domain = a.project_id ? "" : ` (domain ${a.project_domain_id ?? a.project_domain_name})`;
  return `${c.setting(field)} wrong: user ${user} has no role in project ${a[field]}${domain} at ${a.auth_url}, or there is no such project`;
}
