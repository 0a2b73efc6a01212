package triplewide.guard;

/**
 * A write that would be scattered over the executors' own disks, refused before it runs.
 *
 * <p>Python shows only the message of an UnsupportedOperationException, without Java's stack trace. Unlike an IOException, it is not
 * wrapped into another exception on the way there.
 */
public final class UnsharedPathException extends UnsupportedOperationException {
  private static final long serialVersionUID = 1L;

  UnsharedPathException(String message) {
    super(message);
  }
}
