package triplewide.recovery;

import java.util.List;
import org.apache.spark.SparkConf;
import org.apache.spark.deploy.master.FileSystemPersistenceEngine;
import org.apache.spark.deploy.master.FileSystemRecoveryModeFactory;
import org.apache.spark.deploy.master.PersistenceEngine;
import org.apache.spark.serializer.Serializer;
import scala.collection.JavaConverters;
import scala.collection.Seq;
import scala.reflect.ClassTag;

/**
 * Recovery of one master as Spark's mode FILESYSTEM does it, without waiting for what is gone ({@link Presence}). Used by
 * {@code spark.deploy.recoveryMode=CUSTOM}, with Spark's own {@code spark.deploy.recoveryDirectory}.
 */
public class PresentFiles extends FileSystemRecoveryModeFactory {
  private final String directory;
  private final Serializer serializer;

  public PresentFiles(SparkConf conf, Serializer serializer) {
    super(conf, serializer);
    this.directory = conf.get("spark.deploy.recoveryDirectory");
    this.serializer = serializer;
  }

  @Override
  public PersistenceEngine createPersistenceEngine() {
    return new FileSystemPersistenceEngine(directory, serializer) {
      @Override
      public <T> Seq<T> read(String prefix, ClassTag<T> type) {
        List<T> entries = JavaConverters.seqAsJavaList(super.read(prefix, type));
        return Presence.of(entries, this::unpersist);
      }
    };
  }
}
