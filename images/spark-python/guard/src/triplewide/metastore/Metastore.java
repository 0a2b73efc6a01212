package triplewide.metastore;

import java.net.InetSocketAddress;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hive.conf.HiveConf;
import org.apache.hadoop.hive.metastore.HiveMetaStore;
import org.apache.hadoop.hive.metastore.IHMSHandler;
import org.apache.hadoop.hive.metastore.RetryingHMSHandler;
import org.apache.hadoop.hive.metastore.TSetIpAddressProcessor;
import org.apache.hadoop.hive.metastore.api.Database;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.server.ServerContext;
import org.apache.thrift.server.TServerEventHandler;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;
import org.apache.thrift.transport.TTransport;

/**
 * Hive's metastore on one address: `Metastore HOST PORT`, with Hive's settings in hive-site.xml on the class path.
 *
 * <p>Hive 2.3 has a program of its own for this, which listens on all addresses and asks nobody who they are.
 */
public final class Metastore {
  private Metastore() {}

  public static void main(String[] args) throws Exception {
    HiveConf conf = new HiveConf(HiveMetaStore.class);
    HiveMetaStore.HMSHandler own = new HiveMetaStore.HMSHandler("metastore", conf, false);
    // Makes what the database lacks, and the database `default`.
    IHMSHandler handler = RetryingHMSHandler.getProxy(conf, own, true);
    followWarehouse(handler, conf);
    TServerSocket socket = new TServerSocket(new InetSocketAddress(args[0], Integer.parseInt(args[1])));
    TThreadPoolServer server =
        new TThreadPoolServer(
            new TThreadPoolServer.Args(socket).processor(new TSetIpAddressProcessor<>(handler)).minWorkerThreads(2));
    server.setServerEventHandler(new ClosesStore(own));
    server.serve();
  }

  /** Hive writes down where tables lie when it makes the database `default`, and never looks at the setting again. */
  private static void followWarehouse(IHMSHandler handler, HiveConf conf) throws Exception {
    Path warehouse = new Path(conf.getVar(HiveConf.ConfVars.METASTOREWAREHOUSE));
    Database database = handler.get_database("default");
    if (new Path(database.getLocationUri()).equals(warehouse)) return;
    database.setLocationUri(warehouse.toString());
    handler.alter_database("default", database);
  }

  /** A thread keeps its connection to the database for the next client otherwise, whatever state it was left in. */
  private record ClosesStore(HiveMetaStore.HMSHandler handler) implements TServerEventHandler {
    @Override
    public void preServe() {}

    @Override
    public ServerContext createContext(TProtocol in, TProtocol out) {
      return null;
    }

    @Override
    public void deleteContext(ServerContext context, TProtocol in, TProtocol out) {
      handler.shutdown();
    }

    @Override
    public void processContext(ServerContext context, TTransport in, TTransport out) {}
  }
}
