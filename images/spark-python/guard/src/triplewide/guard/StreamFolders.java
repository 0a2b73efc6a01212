package triplewide.guard;

import java.io.File;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.StandardOpenOption;
import java.util.HashSet;
import java.util.Set;
import java.util.UUID;
import org.apache.spark.network.util.JavaUtils;
import org.apache.spark.util.ShutdownHookManager;

/**
 * Checkpoint folders of streaming queries that name none, in the shared folder: `.stream-<driver>-<number>`. A driver that is killed
 * leaves its own behind. While it lives it holds a lock on `.streams-<driver>` beside them, which the system takes back from a
 * process that is gone: the next session in that folder removes what nobody holds, and so does a driver before it puts one there.
 */
final class StreamFolders {
  private static final String FOLDER = ".stream-";
  private static final String LOCK = ".streams-";
  private static final String DRIVER = UUID.randomUUID().toString();

  private static final Set<File> held = new HashSet<>();
  private static int made = 0;

  private StreamFolders() {}

  /** A name for a checkpoint folder, which goes with this driver. */
  static synchronized File make(File folder) {
    removeLeftOver();
    hold(folder);
    File shared = new File(folder, FOLDER + DRIVER + "-" + made++);
    ShutdownHookManager.registerShutdownDeleteDir(shared);
    return shared;
  }

  /** Removes what drivers left behind where this one would put its own. Whatever keeps it from that is no reason to have no session. */
  static void removeLeftOver() {
    try {
      File folder = WriteGuard.isOn() ? WriteGuard.sharedFolder() : null;
      File[] locks = folder == null ? null : folder.listFiles((in, name) -> name.startsWith(LOCK) && !name.equals(LOCK + DRIVER));
      if (locks == null) return;
      for (File lock : locks) removeUnlessHeld(folder, lock);
    } catch (IOException | RuntimeException e) {
      return;
    }
  }

  private static void removeUnlessHeld(File folder, File lock) throws IOException {
    String begin = FOLDER + lock.getName().substring(LOCK.length()) + "-";
    try (FileChannel channel = FileChannel.open(lock.toPath(), StandardOpenOption.WRITE);
        FileLock ours = channel.tryLock()) {
      if (ours == null) return;
      for (File left : folder.listFiles((in, name) -> name.startsWith(begin))) JavaUtils.deleteRecursively(left);
      Files.deleteIfExists(lock.toPath());
    }
  }

  /** The lock is held until this process ends: no channel of that file is ever closed. */
  private static void hold(File folder) {
    if (!held.add(folder)) return;
    File lock = new File(folder, LOCK + DRIVER);
    try {
      FileLock ours = FileChannel.open(lock.toPath(), StandardOpenOption.CREATE, StandardOpenOption.WRITE).tryLock();
      if (ours == null) throw new IOException("somebody else holds " + lock);
      lock.deleteOnExit();
    } catch (IOException e) {
      // Folders whose lock is not there stay: nobody can tell whether they are used.
      lock.delete();
    }
  }
}
