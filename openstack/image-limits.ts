/** How long is waited, and how often is asked. */
export interface ImageLimits {
  /** The longest that is waited between two questions; the first few come sooner. @default 5000 */
  pollMs?: number;
  /** For the server to install everything and power off. @default 1800 */
  bootSeconds?: number;
  /** For the cloud to take the image, and to make the volume that the server boots from. @default 3600 */
  imageSeconds?: number;
  /** For each thing to be deleted. @default 300 */
  removeSeconds?: number;
}

/** The limits that hold where nothing is said. */
const USUAL: Required<ImageLimits> = { pollMs: 5000, bootSeconds: 1800, imageSeconds: 3600, removeSeconds: 300 };

/** All limits. */
export const limitsOf = (limits: ImageLimits = {}): Required<ImageLimits> => ({ ...USUAL, ...limits });

/** Milliseconds until the next question: the first pauses are short, because much is done within a moment. */
export const pauseMs = ({ pollMs }: Required<ImageLimits>, asked: number): number => Math.min(pollMs, 250 * 2 ** asked);
