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

/** An answer that only tells more where there is one: `otherwise` where the cloud refuses it, or does not know the question. */
export async function unlessRefused<T>(answer: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof CloudError) return otherwise;
    throw error;
  }
}
