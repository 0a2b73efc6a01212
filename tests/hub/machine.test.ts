import { describe } from "vitest";
import { missing } from "../machine/guests.ts";
import { keepsUsersApart } from "./on-machines.ts";

const reason = await missing();

describe.skipIf(reason !== "")(`the hub on machines${reason && ` (skipped: ${reason})`}`, () =>
  keepsUsersApart({ addresses: "10.205", config: { architecture: "standalone" } }),
);
