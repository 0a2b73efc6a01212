package triplewide.s3;

import java.io.Serializable;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.mapreduce.JobContext;
import org.apache.hadoop.mapreduce.TaskAttemptContext;
import org.apache.spark.internal.io.FileCommitProtocol;
import org.apache.spark.internal.io.FileNameSpec;
import org.apache.spark.internal.io.cloud.PathOutputCommitProtocol;
import org.apache.spark.sql.execution.datasources.SQLHadoopMapReduceCommitProtocol;
import scala.Option;
import scala.collection.Seq;

/**
 * Decides how a job's files become its result ({@code spark.sql.sources.commitProtocolClass}). Spark's default writes them to another
 * place and renames them at the end. An object store cannot rename: each file is copied, twice, and readers see a part of the result
 * meanwhile. For {@code s3a://}, S3A's magic committer completes its uploads at the end instead. It cannot replace single partitions
 * ({@code spark.sql.sources.partitionOverwriteMode=dynamic}); such writes, and all other paths, use Spark's default.
 *
 * @see <a href="https://spark.apache.org/docs/3.5.7/cloud-integration.html">Spark: Integration with Cloud Infrastructures</a>
 */
public final class CommitProtocol extends FileCommitProtocol implements Serializable {
    private static final long serialVersionUID = 1L;

    private final FileCommitProtocol way;

    /** Spark calls this constructor with these three arguments. */
    public CommitProtocol(String jobId, String path, boolean dynamicPartitionOverwrite) {
        boolean byUploads = !dynamicPartitionOverwrite && "s3a".equals(new Path(path).toUri().getScheme());
        way = byUploads
                ? new PathOutputCommitProtocol(jobId, path, false)
                : new SQLHadoopMapReduceCommitProtocol(jobId, path, dynamicPartitionOverwrite);
    }

    @Override
    public void setupJob(JobContext job) {
        way.setupJob(job);
    }

    @Override
    public void commitJob(JobContext job, Seq<TaskCommitMessage> tasks) {
        way.commitJob(job, tasks);
    }

    @Override
    public void abortJob(JobContext job) {
        way.abortJob(job);
    }

    @Override
    public void setupTask(TaskAttemptContext task) {
        way.setupTask(task);
    }

    @Override
    @SuppressWarnings("deprecation")
    public String newTaskTempFile(TaskAttemptContext task, Option<String> folder, String end) {
        return way.newTaskTempFile(task, folder, end);
    }

    @Override
    public String newTaskTempFile(TaskAttemptContext task, Option<String> folder, FileNameSpec name) {
        return way.newTaskTempFile(task, folder, name);
    }

    @Override
    @SuppressWarnings("deprecation")
    public String newTaskTempFileAbsPath(TaskAttemptContext task, String folder, String end) {
        return way.newTaskTempFileAbsPath(task, folder, end);
    }

    @Override
    public String newTaskTempFileAbsPath(TaskAttemptContext task, String folder, FileNameSpec name) {
        return way.newTaskTempFileAbsPath(task, folder, name);
    }

    @Override
    public TaskCommitMessage commitTask(TaskAttemptContext task) {
        return way.commitTask(task);
    }

    @Override
    public void abortTask(TaskAttemptContext task) {
        way.abortTask(task);
    }

    @Override
    public boolean deleteWithJob(FileSystem files, Path path, boolean recursive) {
        return way.deleteWithJob(files, path, recursive);
    }

    @Override
    public void onTaskCommit(TaskCommitMessage task) {
        way.onTaskCommit(task);
    }
}
