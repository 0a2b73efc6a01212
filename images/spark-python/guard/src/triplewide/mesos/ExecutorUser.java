package triplewide.mesos;

import java.io.IOException;
import java.util.Map;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.spark.SparkContext;
import org.apache.spark.api.plugin.DriverPlugin;
import org.apache.spark.api.plugin.ExecutorPlugin;
import org.apache.spark.api.plugin.PluginContext;
import org.apache.spark.api.plugin.SparkPlugin;

/**
 * Has executors on Mesos be in HDFS who their driver is there. Spark knows one name for both this and the user whom Mesos runs its
 * tasks as, SPARK_USER, and drivers of the hub's users are many where that user is one. Named by `spark.plugins`; Spark asks for it
 * before it asks Mesos for the first executor.
 */
public class ExecutorUser implements SparkPlugin {
  @Override
  public DriverPlugin driverPlugin() {
    return new DriverPlugin() {
      @Override
      public Map<String, String> init(SparkContext sc, PluginContext context) {
        try {
          String user = UserGroupInformation.getCurrentUser().getShortUserName();
          sc.executorEnvs().put("SPARK_USER", user);
        } catch (IOException error) {
          throw new IllegalStateException("It is not known who this driver is in HDFS", error);
        }
        return Map.of();
      }
    };
  }

  @Override
  public ExecutorPlugin executorPlugin() {
    return null;
  }
}
