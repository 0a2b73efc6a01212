package triplewide.guard;

import java.io.File;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.hadoop.fs.Path;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;

/**
 * Decides which paths of the local file system a job may write to.
 *
 * <p>On a cluster `file:/tmp/x` is a different folder on each machine: a job that writes there succeeds, its files are scattered,
 * and reading them back finds nothing. So only folders that all machines share are allowed. The settings are properties of the
 * driver, which executors get as well:
 *
 * <pre>
 * spark.hadoop.fs.file.impl        triplewide.guard.GuardedFileSystem switches all of this on
 * spark.triplewide.sharedFolders   folders that all machines share, separated by commas. Default: none
 * spark.triplewide.writeInstead    text for error messages: where to write
 * </pre>
 *
 * <p>A driver with a master `local`, `local[2]` ... uses no other machine and may write anywhere.
 */
public final class WriteGuard {
  static final String SWITCH = "spark.hadoop.fs.file.impl";
  static final String SHARED_FOLDERS = "spark.triplewide.sharedFolders";
  static final String WRITE_INSTEAD = "spark.triplewide.writeInstead";

  /**
   * Folders that only a job's write creates, inside of its target: `_temporary` (all committers of Hadoop and Spark), the folder in
   * which Spark stages partitions, the log of a streaming query's files, and that of a Delta table.
   */
  private static final Pattern JOB_FOLDER =
      Pattern.compile("/(?:_temporary|\\.spark-staging-[^/]*|_spark_metadata|_delta_log)(?:/|$)");

  private WriteGuard() {}

  /** Whether this process belongs to an application on a cluster whose configuration asks for the guard. */
  static boolean isOn() {
    SparkConf conf = conf();
    return conf != null
        && conf.get(SWITCH, "").equals(GuardedFileSystem.class.getName())
        && !conf.get("spark.master", "local").startsWith("local");
  }

  /** @throws UnsharedPathException when a job's write is about to make its folder in a place that is not shared */
  public static void beforeMkdirs(Path path) throws IOException {
    Matcher folder = JOB_FOLDER.matcher(path.toUri().getPath());
    if (folder.find()) {
      String target = path.toUri().getPath().substring(0, folder.start());
      check(new Path("file", null, target.isEmpty() ? "/" : target), "The write to");
    } else if (calledFrom(Set.of("org.apache.spark.SparkContext"), "setCheckpointDir")) {
      check(path, "The checkpoint folder");
    }
  }

  /**
   * Some writes delete existing files before they begin, so they must be refused before that.
   *
   * @throws UnsharedPathException when a write does so in a place that is not shared
   */
  static void beforeDelete(Path path) throws IOException {
    if (isDriver()
        && calledFrom(
            Set.of(
                "org.apache.spark.sql.DataFrameWriter",
                "org.apache.spark.sql.execution.datasources.InsertIntoHadoopFsRelationCommand",
                "org.apache.spark.ml.util.FileSystemOverwrite"),
            "")) {
      check(path, "The write to");
    }
  }

  /**
   * The second check, for writes that create none of those folders: files that a task creates with Hadoop's file system. The state of
   * a streaming query was checked when the query began.
   *
   * @throws UnsharedPathException when a task on an executor writes to a place that is not shared
   */
  static void beforeCreate(Path path) throws IOException {
    if (TaskContext.get() != null && !calledFromPackage("org.apache.spark.sql.execution.streaming.state.")) {
      check(path, "The write to");
    }
  }

  /** @throws UnsharedPathException unless all machines share this folder, or there is only one machine */
  static void check(Path path, String what) throws IOException {
    if (!isOn() || isShared(path)) return;
    throw new UnsharedPathException(
        what
            + " "
            + path
            + " was refused, and nothing was changed: this folder is not shared, so each executor would write its part to the disk"
            + " of its own machine, and reading it back would find nothing. "
            + conf().get(WRITE_INSTEAD, "Write to a path that all machines have in common."));
  }

  /**
   * Compares the path as it is written and also with all symbolic links resolved: a link in a shared folder may lead out of it, and a
   * link that leads into it exists on this machine only.
   */
  static boolean isShared(Path path) throws IOException {
    File file = new File(path.toUri().getPath());
    for (File folder : sharedFolders()) {
      if (file.toPath().normalize().startsWith(folder.toPath().normalize())
          && file.getCanonicalFile().toPath().startsWith(folder.getCanonicalFile().toPath())) return true;
    }
    return false;
  }

  /** Returns a folder for files that executors must see: the driver's working folder if it is shared, else the first shared one or null. */
  static File sharedFolder() throws IOException {
    File here = new File("").getAbsoluteFile();
    return isShared(new Path(here.toURI())) ? here : sharedFolders().stream().findFirst().orElse(null);
  }

  private static List<File> sharedFolders() {
    String folders = conf().get(SHARED_FOLDERS, "");
    return Arrays.stream(folders.split(",")).map(String::strip).filter(text -> !text.isEmpty()).map(File::new).toList();
  }

  private static SparkConf conf() {
    SparkEnv env = SparkEnv.get();
    return env == null ? null : env.conf();
  }

  private static boolean isDriver() {
    SparkEnv env = SparkEnv.get();
    return env != null && env.executorId().equals("driver");
  }

  /** Whether a method of these classes or their inner classes is on the stack; Scala's closures are named after their method. */
  private static boolean calledFrom(Set<String> classes, String method) {
    return StackWalker.getInstance()
        .walk(
            frames ->
                frames.anyMatch(
                    frame ->
                        classes.contains(frame.getClassName().replaceFirst("\\$.*", ""))
                            && frame.getMethodName().contains(method)));
  }

  private static boolean calledFromPackage(String prefix) {
    return StackWalker.getInstance().walk(frames -> frames.anyMatch(frame -> frame.getClassName().startsWith(prefix)));
  }
}
