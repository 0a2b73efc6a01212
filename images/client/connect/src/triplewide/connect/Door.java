package triplewide.connect;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.spark.package$;
import org.sparkproject.connect.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import org.sparkproject.connect.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import org.sparkproject.connect.grpc.Metadata;
import org.sparkproject.connect.grpc.ServerCall;
import org.sparkproject.connect.grpc.ServerCallHandler;
import org.sparkproject.connect.grpc.ServerInterceptor;
import org.sparkproject.connect.grpc.Status;
import org.sparkproject.connect.protobuf.Descriptors.FieldDescriptor;
import org.sparkproject.connect.protobuf.MessageOrBuilder;

/**
 * Lets only clients use a Spark Connect server that send its token and have the same version of Spark.
 *
 * <p>Spark 3.5 itself checks no token. Clients send it as {@code authorization: Bearer <token>}. The environment variable
 * {@code SPARK_CONNECT_TOKEN_FILE} names the file that holds it.
 */
public final class Door implements ServerInterceptor {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** The name that clients send: {@code _SPARK_CONNECT_PYTHON spark/3.5.9 os/linux python/3.11.2}. */
  private static final Pattern CLIENT = Pattern.compile("(?:^| )spark/((\\d+\\.\\d+)\\.\\S*)");

  private final byte[] expected;
  private final String version = package$.MODULE$.SPARK_VERSION();

  public Door() {
    try {
      String token = Files.readString(Path.of(System.getenv("SPARK_CONNECT_TOKEN_FILE"))).strip();
      if (token.isEmpty()) throw new IllegalStateException("the file of the token is empty");
      expected = ("Bearer " + token).getBytes(StandardCharsets.UTF_8);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, A> accepted, Metadata headers, ServerCallHandler<Q, A> next) {
    ServerCall<Q, A> call = new HeadersFirst<>(accepted);
    String given = headers.get(AUTHORIZATION);
    if (given == null || !MessageDigest.isEqual(given.getBytes(StandardCharsets.UTF_8), expected)) {
      String why = given == null ? "this server asks for a token" : "the token is not that of this cluster";
      call.close(Status.UNAUTHENTICATED.withDescription(why + ": `triplewide connect` prints the address with it"), new Metadata());
      return new ServerCall.Listener<>() {};
    }
    return new SimpleForwardingServerCallListener<>(next.startCall(call, headers)) {
      private boolean refused;

      @Override
      public void onMessage(Q message) {
        String why = refused ? null : misfit(message);
        if (why != null) {
          refused = true;
          call.close(Status.FAILED_PRECONDITION.withDescription(why), new Metadata());
        }
        if (!refused) super.onMessage(message);
      }

      @Override
      public void onHalfClose() {
        if (!refused) super.onHalfClose();
      }
    };
  }

  /**
   * A call that sends its headers before it ends.
   *
   * <p>A call that fails before its first message would send its status as headers. Caddy, which is the gateway, sends those on as
   * headers and ends the reply with an empty message; clients then say "Stream removed" in place of the error.
   */
  private static final class HeadersFirst<Q, A> extends SimpleForwardingServerCall<Q, A> {
    private boolean sent;

    HeadersFirst(ServerCall<Q, A> call) {
      super(call);
    }

    @Override
    public void sendHeaders(Metadata headers) {
      sent = true;
      super.sendHeaders(headers);
    }

    @Override
    public void close(Status status, Metadata trailers) {
      if (!sent && !isCancelled()) sendHeaders(new Metadata());
      super.close(status, trailers);
    }
  }

  /** Returns why the client's version does not fit; {@code null} if it does, or if the message does not name one. */
  private String misfit(Object message) {
    if (!(message instanceof MessageOrBuilder request)) return null;
    FieldDescriptor field = request.getDescriptorForType().findFieldByName("client_type");
    if (field == null) return null;
    Matcher client = CLIENT.matcher((String) request.getField(field));
    if (!client.find() || version.startsWith(client.group(2) + ".")) return null;
    return "this cluster runs Spark " + version + ", and this client is of Spark " + client.group(1)
        + ", which it may misunderstand: pip install 'pyspark[connect]==" + version + "'";
  }
}
