/** A machine's own IPv4 address, which no other machine reaches. */
export const LOOPBACK = "127.0.0.1";
