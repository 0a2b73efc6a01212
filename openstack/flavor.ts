/** A flavor as the cloud knows it. */
export interface Flavor {
  id: string;
  name: string;
  vcpus: number;
  ramMiB: number;
  /** Of the machine's own disk; 0: the flavor is meant for machines whose root is a volume. */
  diskGb: number;
}
