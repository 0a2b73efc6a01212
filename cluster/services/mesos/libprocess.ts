/**
 * Environment of every program that talks by libprocess: masters, agents, executors, drivers, Marathon. It takes a message only from the
 * address that the message says it is from. What a master says to an agent needs no login: whoever may pass for one runs tasks as root.
 * Source: https://mesos.apache.org/documentation/latest/configuration/libprocess/
 */
export const KNOWN_PEERS = { LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH: "true" } as const;
