package triplewide.recovery;

import java.io.File;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.SparkConf;
import org.apache.spark.deploy.master.FileSystemPersistenceEngine;
import org.apache.spark.deploy.master.FileSystemRecoveryModeFactory;
import org.apache.spark.deploy.master.PersistenceEngine;
import org.apache.spark.serializer.Serializer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.collection.JavaConverters;
import scala.collection.Seq;
import scala.reflect.ClassTag;

/**
 * Recovery of a single master as in Spark's mode FILESYSTEM, but without waiting for what is gone ({@link Presence}), and an incomplete
 * entry does not stop it. Used by {@code spark.deploy.recoveryMode=CUSTOM}, with Spark's own {@code spark.deploy.recoveryDirectory}.
 */
public class PresentFiles extends FileSystemRecoveryModeFactory {
  private static final Logger LOG = LoggerFactory.getLogger(PresentFiles.class);

  private final String directory;
  private final Serializer serializer;

  public PresentFiles(SparkConf conf, Serializer serializer) {
    super(conf, serializer);
    this.directory = conf.get("spark.deploy.recoveryDirectory");
    this.serializer = serializer;
  }

  private List<String> namesOf(String prefix) {
    String[] names = new File(directory).list((folder, name) -> name.startsWith(prefix));
    return names == null ? List.of() : List.of(names);
  }

  @Override
  public PersistenceEngine createPersistenceEngine() {
    return new FileSystemPersistenceEngine(directory, serializer) {
      @Override
      public <T> Seq<T> read(String prefix, ClassTag<T> type) {
        List<T> entries = new ArrayList<>();
        for (String name : namesOf(prefix)) {
          try {
            for (T entry : JavaConverters.seqAsJavaList(super.<T>read(name, type))) {
              // Spark reads all entries whose names begin with this one.
              if (Presence.nameOf(entry).equals(name)) entries.add(entry);
            }
          } catch (Exception e) {
            // A master that ended while it wrote leaves an incomplete entry, which must not stop the next master.
            LOG.warn("{} cannot be read, and is deleted", name, e);
            unpersist(name);
          }
        }
        return Presence.of(entries, this::unpersist);
      }
    };
  }
}
