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
 * Gives executors on Mesos the same user name in HDFS as their driver. Spark uses one name, SPARK_USER, both for this and for the user
 * as whom Mesos runs tasks. On the hub, drivers of many users share one such user. Named by `spark.plugins`; Spark calls it before it
 * asks Mesos for the first executor.
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
