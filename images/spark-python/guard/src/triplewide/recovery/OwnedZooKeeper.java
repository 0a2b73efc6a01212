package triplewide.recovery;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.ACLProvider;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.spark.SparkConf;
import org.apache.spark.deploy.master.LeaderElectable;
import org.apache.spark.deploy.master.LeaderElectionAgent;
import org.apache.spark.deploy.master.PersistenceEngine;
import org.apache.spark.deploy.master.StandaloneRecoveryModeFactory;
import org.apache.spark.serializer.Serializer;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.collection.Seq;
import scala.reflect.ClassTag;

/**
 * Recovery of Spark's masters as in Spark's mode ZOOKEEPER (election of a leader, one entry for each worker, application and driver),
 * but with a login: only the masters may read and write the entries. Spark's own mode leaves them open to everyone, and deserializes
 * them as Java objects. Entries of what is gone are not waited for ({@link Presence}). Used by {@code spark.deploy.recoveryMode=CUSTOM}.
 *
 * <p>Settings are Spark's: {@code spark.deploy.zookeeper.url} and {@code .dir}; beside them {@code .user} and {@code .password}.
 */
public class OwnedZooKeeper extends StandaloneRecoveryModeFactory {
  private static final Logger LOG = LoggerFactory.getLogger(OwnedZooKeeper.class);

  private final String servers;
  private final String directory;
  private final String login;
  private final Serializer serializer;

  public OwnedZooKeeper(SparkConf conf, Serializer serializer) {
    super(conf, serializer);
    this.servers = conf.get("spark.deploy.zookeeper.url");
    this.directory = conf.get("spark.deploy.zookeeper.dir", "/spark");
    this.login = conf.get("spark.deploy.zookeeper.user") + ":" + conf.get("spark.deploy.zookeeper.password");
    this.serializer = serializer;
  }

  @Override
  public PersistenceEngine createPersistenceEngine() {
    return new Entries();
  }

  @Override
  public LeaderElectionAgent createLeaderElectionAgent(LeaderElectable master) {
    return new Election(master);
  }

  private CuratorFramework connect() {
    ACLProvider owned =
        new ACLProvider() {
          @Override
          public List<ACL> getDefaultAcl() {
            return ZooDefs.Ids.CREATOR_ALL_ACL;
          }

          @Override
          public List<ACL> getAclForPath(String path) {
            return ZooDefs.Ids.CREATOR_ALL_ACL;
          }
        };
    // The same times as in Spark's own client.
    CuratorFramework client =
        CuratorFrameworkFactory.builder()
            .connectString(servers)
            .sessionTimeoutMs(60_000)
            .connectionTimeoutMs(15_000)
            .retryPolicy(new ExponentialBackoffRetry(5_000, 3))
            .authorization("digest", login.getBytes(StandardCharsets.UTF_8))
            .aclProvider(owned)
            .build();
    client.start();
    return client;
  }

  private List<ACL> own() {
    try {
      return List.of(new ACL(ZooDefs.Perms.ALL, new Id("digest", DigestAuthenticationProvider.generateDigest(login))));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private static RuntimeException failed(Exception e) {
    return new IllegalStateException("ZooKeeper: " + e, e);
  }

  /** One znode for each worker, application and driver. */
  private final class Entries extends PersistenceEngine {
    private final String folder = directory + "/master_status";
    private final CuratorFramework client = connect();

    Entries() {
      try {
        client.create().creatingParentsIfNeeded().forPath(folder);
      } catch (KeeperException.NodeExistsException e) {
        LOG.debug("{} is there", folder);
      } catch (Exception e) {
        throw failed(e);
      }
    }

    private String path(String name) {
      return folder + "/" + name;
    }

    @Override
    public void persist(String name, Object entry) {
      ByteBuffer buffer = serializer.newInstance().serialize(entry, ClassTag.Object());
      byte[] bytes = new byte[buffer.remaining()];
      buffer.get(bytes);
      try {
        client.create().withMode(CreateMode.PERSISTENT).forPath(path(name), bytes);
      } catch (Exception e) {
        throw failed(e);
      }
    }

    @Override
    public void unpersist(String name) {
      try {
        client.delete().forPath(path(name));
      } catch (Exception e) {
        throw failed(e);
      }
    }

    @Override
    public <T> Seq<T> read(String prefix, ClassTag<T> type) {
      List<T> found = new ArrayList<>();
      try {
        for (String name : client.getChildren().forPath(folder)) {
          if (!name.startsWith(prefix)) continue;
          // The writer of an entry decides which objects are deserialized from it.
          if (!client.getACL().forPath(path(name)).equals(own())) {
            LOG.error("{} is not the masters' own: it is not read", path(name));
            continue;
          }
          byte[] bytes = client.getData().forPath(path(name));
          try {
            found.add(serializer.newInstance().<T>deserialize(ByteBuffer.wrap(bytes), type));
          } catch (Exception e) {
            // Scala code throws checked exceptions without declaring them. One that escaped here would keep the master from leading.
            LOG.warn("{} cannot be read, and is deleted", path(name), e);
            client.delete().forPath(path(name));
          }
        }
      } catch (Exception e) {
        throw failed(e);
      }
      return Presence.of(found, this::unpersist);
    }

    @Override
    public void close() {
      client.close();
    }
  }

  /** Tells a master when it becomes the leader and when it no longer is. */
  private final class Election implements LeaderElectionAgent, LeaderLatchListener {
    private final LeaderElectable master;
    private final CuratorFramework client = connect();
    private final LeaderLatch latch = new LeaderLatch(client, directory + "/leader_election");
    private boolean leads;

    Election(LeaderElectable master) {
      this.master = master;
      latch.addListener(this);
      try {
        latch.start();
      } catch (Exception e) {
        throw failed(e);
      }
    }

    @Override
    public LeaderElectable masterInstance() {
      return master;
    }

    @Override
    public synchronized void isLeader() {
      // The leadership may have changed again since this was called.
      if (leads || !latch.hasLeadership()) return;
      leads = true;
      master.electedLeader();
    }

    @Override
    public synchronized void notLeader() {
      if (!leads || latch.hasLeadership()) return;
      leads = false;
      master.revokedLeadership();
    }

    @Override
    public void stop() {
      try {
        latch.close();
      } catch (Exception e) {
        throw failed(e);
      }
      client.close();
    }
  }
}
