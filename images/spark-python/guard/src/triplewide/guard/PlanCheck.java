package triplewide.guard;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Field;
import java.util.List;
import org.apache.hadoop.fs.Path;
import org.apache.spark.sql.DataFrameWriter;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.SaveMode;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.SparkSessionExtensions;
import org.apache.spark.sql.catalyst.TableIdentifier;
import org.apache.spark.sql.catalyst.catalog.CatalogStorageFormat;
import org.apache.spark.sql.catalyst.parser.ParseException;
import org.apache.spark.sql.catalyst.plans.logical.Aggregate;
import org.apache.spark.sql.catalyst.plans.logical.Deduplicate;
import org.apache.spark.sql.catalyst.plans.logical.DeduplicateWithinWatermark;
import org.apache.spark.sql.catalyst.plans.logical.Distinct;
import org.apache.spark.sql.catalyst.plans.logical.FlatMapGroupsInPandasWithState;
import org.apache.spark.sql.catalyst.plans.logical.FlatMapGroupsWithState;
import org.apache.spark.sql.catalyst.plans.logical.GlobalLimit;
import org.apache.spark.sql.catalyst.plans.logical.Join;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.catalyst.rules.Rule;
import org.apache.spark.sql.catalyst.streaming.WriteToStream;
import org.apache.spark.sql.execution.datasources.DataSource;
import org.apache.spark.sql.execution.datasources.FileFormat;
import org.apache.spark.sql.execution.datasources.InsertIntoHadoopFsRelationCommand;
import org.apache.spark.sql.execution.datasources.v2.FileDataSourceV2;
import org.apache.spark.sql.execution.streaming.CheckpointFileManager;
import org.apache.spark.sql.hive.execution.CreateHiveTableAsSelectCommand;
import org.apache.spark.sql.hive.execution.InsertIntoHiveDirCommand;
import org.apache.spark.sql.hive.execution.InsertIntoHiveTable;
import scala.Option;
import scala.collection.JavaConverters;
import scala.collection.immutable.Map;
import scala.runtime.AbstractFunction1;
import scala.runtime.BoxedUnit;

/**
 * Checks writes of SQL and DataFrames when their plan is made, which is before anything runs: the file system alone would refuse
 * them only after the shuffles that come before the write. Named by `spark.sql.extensions`: sessions of Python do not get extensions
 * that Spark finds by META-INF/services.
 */
public class PlanCheck extends AbstractFunction1<SparkSessionExtensions, BoxedUnit> {
  @Override
  public BoxedUnit apply(SparkSessionExtensions extensions) {
    StreamFolders.removeLeftOver();
    extensions.injectResolutionRule(session -> new SharedState(session));
    extensions.injectCheckRule(session -> plan -> check(session, plan));
    return BoxedUnit.UNIT;
  }

  /**
   * A streaming query without a checkpoint folder (to `memory`, `console` or a function) gets one in its driver's `/tmp`, where
   * executors do not find each other's state. This gives a query with state a shared folder; it is removed when the query stops.
   */
  private static final class SharedState extends Rule<LogicalPlan> {
    private final SparkSession session;

    SharedState(SparkSession session) {
      this.session = session;
    }

    @Override
    public LogicalPlan apply(LogicalPlan plan) {
      if (!(plan instanceof WriteToStream) || !WriteGuard.isOn()) return plan;
      WriteToStream write = (WriteToStream) plan;
      Path checkpoint = new Path(write.resolvedCheckpointLocation());
      if (!write.deleteCheckpointOnStop() || !hasState(write.inputQuery())) return plan;
      if (!"file".equals(checkpoint.toUri().getScheme())) return plan;
      try {
        File folder = WriteGuard.isShared(checkpoint) ? null : WriteGuard.sharedFolder();
        if (folder == null) return plan;
        File shared = StreamFolders.make(folder);
        return write.copy(
            write.name(),
            CheckpointFileManager.create(new Path(shared.toURI()), session.sessionState().newHadoopConf())
                .createCheckpointDirectory()
                .toString(),
            write.sink(),
            write.outputMode(),
            true,
            write.inputQuery(),
            write.catalogAndIdent(),
            write.catalogTable());
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  private static BoxedUnit check(SparkSession session, LogicalPlan plan) {
    if (!WriteGuard.isOn()) return BoxedUnit.UNIT;
    plan.foreach(
        node -> {
          if (node instanceof InsertIntoHadoopFsRelationCommand) {
            check(session, ((InsertIntoHadoopFsRelationCommand) node).outputPath(), "The write to");
          } else if (node instanceof InsertIntoHiveTable) {
            check(session, new Path(((InsertIntoHiveTable) node).table().location()), "The write to");
          } else if (node instanceof CreateHiveTableAsSelectCommand) {
            // The table would be created, and dropped again, before the write inside of it is checked.
            CreateHiveTableAsSelectCommand create = (CreateHiveTableAsSelectCommand) node;
            check(session, location(session, create.tableDesc().storage(), create.tableDesc().identifier()), "The write to");
          } else if (node instanceof InsertIntoHiveDirCommand) {
            InsertIntoHiveDirCommand insert = (InsertIntoHiveDirCommand) node;
            Path folder = new Path(insert.storage().locationUri().get());
            // LOCAL means a folder of each executor's machine.
            check(session, insert.isLocal() ? new Path("file", null, folder.toUri().getPath()) : folder, "The write to");
          } else if (node instanceof WriteToStream) {
            // The checkpoint of a query without state is written and read by its driver alone, so it need not be shared.
            WriteToStream write = (WriteToStream) node;
            if (hasState(write.inputQuery()))
              check(session, new Path(write.resolvedCheckpointLocation()), "The checkpoint folder");
          }
          return BoxedUnit.UNIT;
        });
    return BoxedUnit.UNIT;
  }

  /**
   * Checks `saveAsTable` with mode overwrite, which drops the existing table before there is a plan of the write. PySpark (see
   * patch-pyspark.py) calls this before its own saveAsTable.
   *
   * @throws UnsharedPathException when the new table would lie in a place that is not shared
   */
  public static void beforeSaveAsTable(DataFrameWriter<?> writer, String name)
      throws ReflectiveOperationException, ParseException {
    if (!WriteGuard.isOn() || field(writer, "mode") != SaveMode.Overwrite) return;
    SparkSession session = ((Dataset<?>) field(writer, "df")).sparkSession();
    // A catalogue that replaces the session's decides itself where its tables lie.
    if (session.conf().getOption("spark.sql.catalog.spark_catalog").isDefined()) return;
    if (!isOfFiles((String) field(writer, "source"), session)) return;
    List<String> parts =
        JavaConverters.seqAsJavaList(session.sessionState().sqlParser().parseMultipartIdentifier(name));
    if (parts.size() > 2 && !parts.get(0).equals("spark_catalog")) return;
    Option<String> database = Option.apply(parts.size() < 2 ? null : parts.get(parts.size() - 2));
    @SuppressWarnings("unchecked")
    Option<String> path = ((Map<String, String>) field(writer, "extraOptions")).get("path");
    Path target =
        path.isDefined()
            ? new Path(path.get())
            : new Path(
                session.sessionState().catalog().defaultTablePath(new TableIdentifier(parts.get(parts.size() - 1), database)));
    check(session, target, "The write to");
  }

  private static boolean isOfFiles(String source, SparkSession session) {
    if (source.equalsIgnoreCase("hive")) return true;
    Class<?> provider = DataSource.lookupDataSource(source, session.sessionState().conf());
    return FileFormat.class.isAssignableFrom(provider) || FileDataSourceV2.class.isAssignableFrom(provider);
  }

  private static Object field(DataFrameWriter<?> writer, String name) throws ReflectiveOperationException {
    Field field = DataFrameWriter.class.getDeclaredField(name);
    field.setAccessible(true);
    return field.get(writer);
  }

  private static Path location(SparkSession session, CatalogStorageFormat storage, TableIdentifier table) {
    return new Path(
        storage.locationUri().isDefined()
            ? storage.locationUri().get()
            : session.sessionState().catalog().defaultTablePath(table));
  }

  private static boolean hasState(LogicalPlan query) {
    return query.exists(
        node ->
            node.isStreaming()
                && (node instanceof Aggregate
                    || node instanceof Deduplicate
                    || node instanceof DeduplicateWithinWatermark
                    || node instanceof Distinct
                    || node instanceof FlatMapGroupsInPandasWithState
                    || node instanceof FlatMapGroupsWithState
                    || node instanceof GlobalLimit
                    || node instanceof Join && ((Join) node).left().isStreaming() && ((Join) node).right().isStreaming()));
  }

  private static void check(SparkSession session, Path path, String what) {
    String scheme = path.toUri().getScheme();
    if (scheme != null && !scheme.equals("file")) return;
    try {
      Path qualified = path.getFileSystem(session.sessionState().newHadoopConf()).makeQualified(path);
      if ("file".equals(qualified.toUri().getScheme())) WriteGuard.check(qualified, what);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
