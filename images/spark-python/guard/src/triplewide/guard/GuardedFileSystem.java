package triplewide.guard;

import java.io.IOException;
import java.util.EnumSet;
import org.apache.hadoop.fs.CreateFlag;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Options.ChecksumOpt;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.util.Progressable;

/** Hadoop's local file system (`fs.file.impl`), less the writes that {@link WriteGuard} refuses. */
public class GuardedFileSystem extends LocalFileSystem {
  @Override
  public boolean mkdirs(Path path) throws IOException {
    WriteGuard.beforeMkdirs(makeQualified(path));
    return super.mkdirs(path);
  }

  @Override
  public boolean mkdirs(Path path, FsPermission permission) throws IOException {
    WriteGuard.beforeMkdirs(makeQualified(path));
    return super.mkdirs(path, permission);
  }

  @Override
  public boolean delete(Path path, boolean recursive) throws IOException {
    if (recursive) WriteGuard.beforeDelete(makeQualified(path));
    return super.delete(path, recursive);
  }

  @Override
  public FSDataOutputStream create(
      Path path, FsPermission permission, boolean overwrite, int buffer, short replication, long block, Progressable progress)
      throws IOException {
    WriteGuard.beforeCreate(makeQualified(path));
    return super.create(path, permission, overwrite, buffer, replication, block, progress);
  }

  @Override
  public FSDataOutputStream create(
      Path path,
      FsPermission permission,
      EnumSet<CreateFlag> flags,
      int buffer,
      short replication,
      long block,
      Progressable progress,
      ChecksumOpt checksum)
      throws IOException {
    WriteGuard.beforeCreate(makeQualified(path));
    return super.create(path, permission, flags, buffer, replication, block, progress, checksum);
  }

  @Override
  public FSDataOutputStream createNonRecursive(
      Path path, FsPermission permission, boolean overwrite, int buffer, short replication, long block, Progressable progress)
      throws IOException {
    WriteGuard.beforeCreate(makeQualified(path));
    return super.createNonRecursive(path, permission, overwrite, buffer, replication, block, progress);
  }

  @Override
  public FSDataOutputStream createNonRecursive(
      Path path,
      FsPermission permission,
      EnumSet<CreateFlag> flags,
      int buffer,
      short replication,
      long block,
      Progressable progress)
      throws IOException {
    WriteGuard.beforeCreate(makeQualified(path));
    return super.createNonRecursive(path, permission, flags, buffer, replication, block, progress);
  }
}
