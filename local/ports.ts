import { createServer } from "node:net";
import type { Link } from "../render/compose.ts";

/** Links whose port on this machine is taken by something else. */
export async function takenPorts(links: readonly Link[]): Promise<Link[]> {
  const taken: Link[] = [];
  for (const link of links) if (!(await isFree(link.address, link.port))) taken.push(link);
  return taken;
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
