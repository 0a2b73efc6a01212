/**
 * A promise that never settles. For operations after an update has failed and its error has been shown: a
 * second error would only hide the first.
 */
export function never(): Promise<never> {
  return new Promise(() => {});
}
