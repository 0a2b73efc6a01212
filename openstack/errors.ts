import { UserError } from "../lib/errors.ts";

/** Anything that goes wrong with a cloud. The message is for people and names the setting to change where there is one. */
export class CloudError extends UserError {
  override name = "CloudError";
  /** HTTP status of the cloud's answer; 0 when there was none. */
  readonly status: number;
  constructor(message: string, status = 0) {
    super(message);
    this.status = status;
  }
}

/** The answer to a question that not every cloud answers: `otherwise` where this one refuses it, or does not know it. */
export async function unlessRefused<T>(answer: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof CloudError) return otherwise;
    throw error;
  }
}
