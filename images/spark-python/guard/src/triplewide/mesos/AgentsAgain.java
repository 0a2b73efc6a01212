package triplewide.mesos;

import java.lang.reflect.Field;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Lock;
import org.apache.spark.SparkContext;
import org.apache.spark.api.plugin.DriverPlugin;
import org.apache.spark.api.plugin.ExecutorPlugin;
import org.apache.spark.api.plugin.PluginContext;
import org.apache.spark.api.plugin.SparkPlugin;
import org.apache.spark.scheduler.cluster.mesos.Agent;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.Tuple2;
import scala.collection.Iterator;

/**
 * Lets a driver use an agent again after executors failed on it. Spark never does: from the second failure on (two tasks that took
 * too much memory are enough, even days apart) it declines all offers of the agent, and a job waits for ever once it does so for all
 * agents. Named by `spark.plugins`; it acts only in drivers on Mesos.
 */
public class AgentsAgain implements SparkPlugin {
  /** How long an agent is not used after its second failure. */
  static final long REST_SECONDS = 60;
  private static final long LOOK_SECONDS = 5;
  private static final String BACKEND =
      "org.apache.spark.scheduler.cluster.mesos.MesosCoarseGrainedSchedulerBackend";
  private static final Logger LOG = LoggerFactory.getLogger(AgentsAgain.class);

  @Override
  public DriverPlugin driverPlugin() {
    return new Driver();
  }

  @Override
  public ExecutorPlugin executorPlugin() {
    return null;
  }

  private static final class Driver implements DriverPlugin {
    private final ScheduledExecutorService timer =
        Executors.newSingleThreadScheduledExecutor(
            work -> {
              Thread thread = new Thread(work, "triplewide-agents-again");
              thread.setDaemon(true);
              return thread;
            });
    /** By agent: when it was first seen with too many failures. */
    private final Map<String, Long> since = new HashMap<>();

    @Override
    public Map<String, String> init(SparkContext sc, PluginContext context) {
      timer.scheduleWithFixedDelay(() -> look(sc), LOOK_SECONDS, LOOK_SECONDS, TimeUnit.SECONDS);
      return Map.of();
    }

    @Override
    public void shutdown() {
      timer.shutdownNow();
    }

    private void look(SparkContext sc) {
      Object backend = sc.schedulerBackend();
      // There is no backend yet, or this driver does not run on Mesos.
      if (backend == null || !backend.getClass().getName().equals(BACKEND)) return;
      try {
        Lock lock = (Lock) field(backend, "stateLock");
        lock.lock();
        try {
          giveBack(
              (scala.collection.Map<?, ?>) field(backend, "agents"), (int) field(backend, "MAX_AGENT_FAILURES"));
        } finally {
          lock.unlock();
        }
      } catch (ReflectiveOperationException | RuntimeException error) {
        LOG.warn("Agents on which executors failed stay unused in this session", error);
        timer.shutdown();
      }
    }

    private void giveBack(scala.collection.Map<?, ?> agents, int most) {
      long now = System.nanoTime();
      for (Iterator<?> all = agents.iterator(); all.hasNext(); ) {
        Tuple2<?, ?> entry = (Tuple2<?, ?>) all.next();
        String id = (String) entry._1();
        Agent agent = (Agent) entry._2();
        if (agent.taskFailures() < most) continue;
        Long first = since.putIfAbsent(id, now);
        if (first == null || now - first < TimeUnit.SECONDS.toNanos(REST_SECONDS)) continue;
        since.remove(id);
        agent.taskFailures_$eq(0);
        LOG.warn("{} executors failed on {}; {} s later it is used again", most, agent.hostname(), REST_SECONDS);
      }
    }

    private static Object field(Object of, String name) throws ReflectiveOperationException {
      Field field = of.getClass().getDeclaredField(name);
      field.setAccessible(true);
      return field.get(of);
    }
  }
}
