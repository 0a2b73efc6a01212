package triplewide.recovery;

import java.io.IOException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.apache.spark.deploy.master.ApplicationInfo;
import org.apache.spark.deploy.master.DriverInfo;
import org.apache.spark.deploy.master.WorkerInfo;
import org.apache.spark.rpc.RpcAddress;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.collection.JavaConverters;
import scala.collection.Seq;

/**
 * Finds out which earlier applications and workers still exist when a master becomes the leader. Spark's master waits a minute for all
 * of them. In that minute it starts no executor, takes no new application from the address of one that is gone, and takes a new worker
 * at the address of an old one for the old one (Spark 3.5, {@code Master.registerApplication} and {@code Worker.changeMaster}).
 *
 * <p>One that refuses connections, or answers with another id, is gone. One that does not answer in time may come back: Spark waits for it.
 */
final class Presence {
  private static final Logger LOG = LoggerFactory.getLogger(Presence.class);
  private static final Duration PATIENCE = Duration.ofSeconds(2);

  private Presence() {}

  /** Returns the entries that still exist, and passes the names of the others to {@code forget}. */
  static <T> Seq<T> of(List<T> entries, Consumer<String> forget) {
    HttpClient http = HttpClient.newBuilder().connectTimeout(PATIENCE).build();
    List<T> gone = entries.parallelStream().filter(entry -> isGone(http, entry)).collect(Collectors.toList());
    for (T entry : gone) {
      LOG.info("{} is gone: not waiting for it", nameOf(entry));
      forget.accept(nameOf(entry));
    }
    List<T> there = new ArrayList<>(entries);
    there.removeAll(gone);
    return JavaConverters.asScalaBuffer(there).toSeq();
  }

  /** The name that Spark's {@code PersistenceEngine} gives an entry. */
  static String nameOf(Object entry) {
    if (entry instanceof ApplicationInfo) return "app_" + ((ApplicationInfo) entry).id();
    if (entry instanceof DriverInfo) return "driver_" + ((DriverInfo) entry).id();
    return "worker_" + ((WorkerInfo) entry).id();
  }

  private static boolean isGone(HttpClient http, Object entry) {
    if (entry instanceof ApplicationInfo) {
      ApplicationInfo application = (ApplicationInfo) entry;
      RpcAddress driver = application.driver().address();
      return refuses(driver.host(), driver.port())
          || answersWithout(http, application.desc().appUiUrl() + "/api/v1/applications", application.id());
    }
    if (entry instanceof WorkerInfo) {
      WorkerInfo worker = (WorkerInfo) entry;
      return refuses(worker.host(), worker.port())
          || answersWithout(http, "http://" + worker.host() + ":" + webPort(worker) + "/json/", worker.id());
    }
    return false;
  }

  private static int webPort(WorkerInfo worker) {
    return URI.create(worker.webUiAddress()).getPort();
  }

  private static boolean refuses(String host, int port) {
    try (Socket socket = new Socket()) {
      socket.connect(new InetSocketAddress(host, port), (int) PATIENCE.toMillis());
      return false;
    } catch (ConnectException e) {
      return true;
    } catch (IOException e) {
      return false;
    }
  }

  private static boolean answersWithout(HttpClient http, String address, String id) {
    try {
      HttpRequest request = HttpRequest.newBuilder(URI.create(address)).timeout(PATIENCE).build();
      HttpResponse<String> answer = http.send(request, HttpResponse.BodyHandlers.ofString());
      return answer.statusCode() == 200 && !answer.body().contains('"' + id + '"');
    } catch (IOException | IllegalArgumentException e) {
      return false;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }
}
