import { shellWords } from "../lib/quote.ts";

/** Whom to ask, and how. */
export interface Peer {
  host: string;
  port: number;
  /** File with the certificate of whom to trust: spoken to by TLS then. @default plain TCP */
  authorityFile?: string;
}

/**
 * Shell words that send text to a port and have a command read the answer. Bash and nothing else (`/dev/tcp`), because bash is what every
 * image and every guest has; by TLS, openssl as well.
 *
 * @param format What `printf` sends, with its arguments, quoted.
 * @param reader Command that reads the answer; its exit code is the whole's.
 */
export function exchange({ host, port, authorityFile }: Peer, format: string, reader: string): string {
  if (authorityFile === undefined) return `exec 3<>/dev/tcp/${host}/${port} && printf ${format} >&3 && ${reader} <&3`;
  const to = [
    "-connect",
    `${host}:${port}`,
    "-CAfile",
    authorityFile,
    "-verify_return_error",
    "-verify_ip",
    host,
    "-noservername",
  ];
  return `printf ${format} | openssl s_client -quiet -verify_quiet ${shellWords(to)} | ${reader}`;
}
