/** Base64 as the lines of a PEM file (RFC 7468). Spaces in it are ignored. */
export function pem(base64: string, label = "CERTIFICATE"): string {
  const lines = base64.replaceAll(" ", "").match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}
