package triplewide.guard;

/**
 * A write that would be scattered over the executors' own disks, refused before it runs.
 *
 * <p>Python shows an UnsupportedOperationException as its message alone, without Java's stack trace; and nothing on the way
 * there wraps it into something else, as is done with an IOException.
 */
public final class UnsharedPathException extends UnsupportedOperationException {
  private static final long serialVersionUID = 1L;

  UnsharedPathException(String message) {
    super(message);
  }
}
