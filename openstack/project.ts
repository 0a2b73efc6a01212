import type { Cloud } from "./cloud.ts";
import type { Findings } from "./findings.ts";

/** Checks of the project, and of the credentials' rights and clock. */

/** Seconds that two clocks may differ without harm: certificates and signed requests allow for some minutes. */
export const CLOCK_SECONDS = 60;

/** Whether the credentials may make something, and whether both sides have the same time. */
export async function checkProject(cloud: Cloud, findings: Findings): Promise<void> {
  const roles = await cloud.roles();
  if (roles.length > 0 && roles.every((role) => role === "reader")) {
    const fix = "ask for the role member, or make the application credential with it";
    findings.refuse("credentials", undefined, `their only role in ${await cloud.projectName()} is reader`, fix);
  }
  const { interface: asked, engineInterface, setting } = cloud.credentials;
  if (asked !== engineInterface)
    findings.warn(
      `credentials: ${setting("interface")} is ${asked}, which Pulumi does not read: it takes ${engineInterface} addresses. Fix: export OS_ENDPOINT_TYPE=${asked}`,
    );
  const minutes = await cloud.minutesLeft();
  if (minutes !== undefined)
    findings.warn(
      `credentials: a token that nobody can renew, and it ends in ${minutes} min; an update that takes longer fails in the middle. Fix: make an application credential, or log in anew before`,
    );
  const ahead = (await cloud.clockAheadSeconds()) ?? 0;
  if (Math.abs(ahead) <= CLOCK_SECONDS) return;
  const where = ahead > 0 ? "behind" : "ahead of";
  findings.warn(
    `clock: this machine is ${Math.abs(ahead)} s ${where} the cloud; tokens, certificates and signed requests may be refused. Fix: timedatectl set-ntp true`,
  );
}
