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
 * <p>Hive 2.3 has a program of its own for this, but that one listens on all addresses and does not authenticate clients.
 */
public final class Metastore {
  private Metastore() {}

  public static void main(String[] args) throws Exception {
    HiveConf conf = new HiveConf(HiveMetaStore.class);
    HiveMetaStore.HMSHandler own = new HiveMetaStore.HMSHandler("metastore", conf, false);
    // Creates what is missing in the metastore's database, and the Hive database `default`.
    IHMSHandler handler = RetryingHMSHandler.getProxy(conf, own, true);
    followWarehouse(handler, conf);
    TServerSocket socket = new TServerSocket(new InetSocketAddress(args[0], Integer.parseInt(args[1])));
    TThreadPoolServer server =
        new TThreadPoolServer(
            new TThreadPoolServer.Args(socket).processor(new TSetIpAddressProcessor<>(handler)).minWorkerThreads(2));
    server.setServerEventHandler(new ClosesStore(own));
    server.serve();
  }

  /** Hive stores the location of tables once, when it creates the database `default`; this updates it when the setting has changed. */
  private static void followWarehouse(IHMSHandler handler, HiveConf conf) throws Exception {
    Path warehouse = new Path(conf.getVar(HiveConf.ConfVars.METASTOREWAREHOUSE));
    Database database = handler.get_database("default");
    if (new Path(database.getLocationUri()).equals(warehouse)) return;
    database.setLocationUri(warehouse.toString());
    handler.alter_database("default", database);
  }

  /** Closes the connection to the database. Otherwise the thread keeps it for its next client, in whatever state it was left. */
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
