import org.apache.mesos._
import org.apache.mesos.Protos._
import java.lang.reflect.{InvocationHandler, Method, Proxy}

// A driver as Spark's: it logs in to the master on this machine, registers, and runs one task. mesos-report.py starts the master.
def value(name: String, amount: Double) =
  Resource.newBuilder.setName(name).setType(Value.Type.SCALAR).setScalar(Value.Scalar.newBuilder.setValue(amount)).build
var started = false
val handler = new InvocationHandler {
  def invoke(self: Object, method: Method, args: Array[Object]): Object = {
    def driver = args(0).asInstanceOf[SchedulerDriver]
    method.getName match {
      case "registered" => println("trial: registered")
      case "resourceOffers" if !started =>
        started = true
        val offer = args(1).asInstanceOf[java.util.List[Offer]].get(0)
        val task = TaskInfo.newBuilder
          .setName("trial")
          .setTaskId(TaskID.newBuilder.setValue("1"))
          .setSlaveId(offer.getSlaveId)
          .addResources(value("cpus", 0.1))
          .addResources(value("mem", 32))
          .setCommand(CommandInfo.newBuilder.setValue("true"))
          .build
        driver.launchTasks(java.util.Arrays.asList(offer.getId), java.util.Arrays.asList(task))
      case "statusUpdate" =>
        val status = args(1).asInstanceOf[TaskStatus]
        println(s"trial: ${status.getState} ${status.getMessage}")
        if (Set("TASK_FINISHED", "TASK_FAILED", "TASK_LOST", "TASK_ERROR", "TASK_KILLED")(status.getState.name)) driver.stop()
      case "error" => println(s"trial: refused: ${args(1)}")
      case _ =>
    }
    null
  }
}
val scheduler = Proxy.newProxyInstance(classOf[Scheduler].getClassLoader, Array[Class[_]](classOf[Scheduler]), handler).asInstanceOf[Scheduler]
val framework = FrameworkInfo.newBuilder.setUser("root").setName("trial").setPrincipal("trial").build
val credential = Credential.newBuilder.setPrincipal("trial").setSecret("of-a-trial").build
MesosNativeLibrary.load(System.getenv("MESOS_NATIVE_JAVA_LIBRARY"))
new MesosSchedulerDriver(scheduler, framework, "127.0.0.1:5050", credential).run()
