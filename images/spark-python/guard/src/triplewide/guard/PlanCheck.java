package triplewide.guard;

import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.hadoop.fs.Path;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.SparkSessionExtensions;
import org.apache.spark.sql.catalyst.plans.logical.Aggregate;
import org.apache.spark.sql.catalyst.plans.logical.Deduplicate;
import org.apache.spark.sql.catalyst.plans.logical.DeduplicateWithinWatermark;
import org.apache.spark.sql.catalyst.plans.logical.Distinct;
import org.apache.spark.sql.catalyst.plans.logical.FlatMapGroupsInPandasWithState;
import org.apache.spark.sql.catalyst.plans.logical.FlatMapGroupsWithState;
import org.apache.spark.sql.catalyst.plans.logical.GlobalLimit;
import org.apache.spark.sql.catalyst.plans.logical.Join;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.catalyst.streaming.WriteToStream;
import org.apache.spark.sql.execution.datasources.InsertIntoHadoopFsRelationCommand;
import scala.runtime.AbstractFunction1;
import scala.runtime.BoxedUnit;

/**
 * Looks at SQL and DataFrames' writes when their plan is made, which is before anything runs: the file system alone would refuse
 * them only after the shuffles that come before the write. Named by `spark.sql.extensions`: what Spark finds by META-INF/services,
 * Python's sessions do not get.
 */
public class PlanCheck extends AbstractFunction1<SparkSessionExtensions, BoxedUnit> {
  @Override
  public BoxedUnit apply(SparkSessionExtensions extensions) {
    extensions.injectCheckRule(session -> plan -> check(session, plan));
    return BoxedUnit.UNIT;
  }

  private static BoxedUnit check(SparkSession session, LogicalPlan plan) {
    if (!WriteGuard.isOn()) return BoxedUnit.UNIT;
    plan.foreach(
        node -> {
          if (node instanceof InsertIntoHadoopFsRelationCommand) {
            check(session, ((InsertIntoHadoopFsRelationCommand) node).outputPath(), "The write to");
          } else if (node instanceof WriteToStream) {
            // What a query without state has in its checkpoint, its driver alone writes and reads.
            WriteToStream write = (WriteToStream) node;
            if (!write.deleteCheckpointOnStop() && hasState(write.inputQuery()))
              check(session, new Path(write.resolvedCheckpointLocation()), "The checkpoint folder");
          }
          return BoxedUnit.UNIT;
        });
    return BoxedUnit.UNIT;
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
