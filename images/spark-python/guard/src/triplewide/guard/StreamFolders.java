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
 * Checkpoint folders in the shared folder, for streaming queries that name none: `.stream-<driver>-<number>`. A driver that is killed
 * leaves its folders behind. While it lives it holds a lock on `.streams-<driver>` beside them, which the system releases when the
 * process is gone. Folders whose lock is not held are removed by the next session there, and by a driver before it adds its own.
 */
final class StreamFolders {
  private static final String FOLDER = ".stream-";
  private static final String LOCK = ".streams-";
  private static final String DRIVER = UUID.randomUUID().toString();

  private static final Set<File> held = new HashSet<>();
  private static int made = 0;

  private StreamFolders() {}

  /** Returns the name for a checkpoint folder, which is removed when this driver ends. */
  static synchronized File make(File folder) {
    removeLeftOver();
    hold(folder);
    File shared = new File(folder, FOLDER + DRIVER + "-" + made++);
    ShutdownHookManager.registerShutdownDeleteDir(shared);
    return shared;
  }

  /** Removes what earlier drivers left in the folder that this one would use. Errors are ignored: they must not prevent a session. */
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

  /** The lock is held until this process ends, because the file's channel is never closed. */
  private static void hold(File folder) {
    if (!held.add(folder)) return;
    File lock = new File(folder, LOCK + DRIVER);
    try {
      FileLock ours = FileChannel.open(lock.toPath(), StandardOpenOption.CREATE, StandardOpenOption.WRITE).tryLock();
      if (ours == null) throw new IOException("somebody else holds " + lock);
      lock.deleteOnExit();
    } catch (IOException e) {
      // Without a lock, the folders are never removed: other drivers cannot tell whether they are used.
      lock.delete();
    }
  }
}
