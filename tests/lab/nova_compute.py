#!/usr/bin/python3
"""nova-compute that can attach volumes to LXC guests: Nova names their bus "lxc", which libvirt 9 refuses in a <disk>."""
import sys

from nova.cmd import compute
from nova.virt.libvirt import blockinfo

bus_of, is_valid = blockinfo.get_disk_bus_for_device_type, blockinfo.is_disk_bus_valid_for_virt


def get_disk_bus_for_device_type(instance, virt_type, *args, **kwargs):
    return "virtio" if virt_type == "lxc" else bus_of(instance, virt_type, *args, **kwargs)


def is_disk_bus_valid_for_virt(virt_type, disk_bus):
    return disk_bus == "virtio" if virt_type == "lxc" else is_valid(virt_type, disk_bus)


blockinfo.get_disk_bus_for_device_type = get_disk_bus_for_device_type
blockinfo.is_disk_bus_valid_for_virt = is_disk_bus_valid_for_virt
sys.exit(compute.main())
