package org.apache.hadoop.fs.local;

import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import triplewide.guard.WriteGuard;

/**
 * The write guard for Hadoop's other interface to file systems (`fs.AbstractFileSystem.file.impl`), with which streaming queries
 * write their logs. It is in this package because only classes of the package can extend Hadoop's LocalFs.
 */
public class GuardedLocalFs extends LocalFs {
  GuardedLocalFs(URI uri, Configuration conf) throws IOException, URISyntaxException {
    super(uri, conf);
  }

  @Override
  public void mkdir(Path path, FsPermission permission, boolean createParent) throws IOException {
    WriteGuard.beforeMkdirs(path);
    super.mkdir(path, permission, createParent);
  }
}
