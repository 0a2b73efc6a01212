"""A Cinder backend for one machine: a volume is a sparse file, an attached one a loop device. Installed into the lab by cloud.sh."""
import os
import subprocess

from oslo_config import cfg

from cinder.image import image_utils
from cinder import interface
from cinder.volume import driver

OPTIONS = [
    cfg.StrOpt("lab_directory", help="Where the files are"),
    cfg.BoolOpt("lab_attach", default=True, help="Whether an attached volume gets a device (the fake Nova driver needs none)"),
]
GB = 1 << 30


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@interface.volumedriver
class LoopDriver(driver.VolumeDriver):
    VERSION = "1.0"
    CI_WIKI_NAME = "none"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(OPTIONS)
        self.directory = self.configuration.lab_directory

    def check_for_setup_error(self):
        if not os.path.isdir(self.directory):
            raise RuntimeError(f"{self.directory} is not there")

    def file(self, thing):
        return os.path.join(self.directory, thing.id)

    def device(self, volume):
        """Returns a link that stays valid when loop device numbers change, because Nova stores this path."""
        return self.file(volume) + ".device"

    # --- files
    def create_volume(self, volume):
        with open(self.file(volume), "wb") as f:
            f.truncate(volume.size * GB)

    def extend_volume(self, volume, new_size):
        os.truncate(self.file(volume), new_size * GB)
        if os.path.exists(self.device(volume)):
            run("losetup", "-c", os.path.realpath(self.device(volume)))

    def delete_volume(self, volume):
        self.remove_export(None, volume)
        self.delete_snapshot(volume)

    def delete_snapshot(self, snapshot):
        if os.path.exists(self.file(snapshot)):
            os.unlink(self.file(snapshot))

    def copy(self, source, target):
        run("cp", "--sparse=always", self.file(source), self.file(target))

    def create_snapshot(self, snapshot):
        self.copy(snapshot.volume, snapshot)

    def create_volume_from_snapshot(self, volume, snapshot):
        self.copy(snapshot, volume)
        os.truncate(self.file(volume), volume.size * GB)

    def create_cloned_volume(self, volume, src_vref):
        self.copy(src_vref, volume)
        os.truncate(self.file(volume), volume.size * GB)

    def copy_image_to_volume(self, context, volume, image_service, image_id, disable_sparse=False):
        image_utils.fetch_to_raw(context, image_service, image_id, self.file(volume), "1M", size=volume.size)
        os.truncate(self.file(volume), volume.size * GB)

    # --- devices
    def create_export(self, context, volume, connector):
        if not self.configuration.lab_attach or os.path.exists(self.device(volume)):
            return
        loop = run("losetup", "--find", "--show", self.file(volume))
        link = self.device(volume) + ".new"
        os.symlink(loop, link)
        os.rename(link, self.device(volume))

    def ensure_export(self, context, volume):
        self.create_export(context, volume, None)

    def remove_export(self, context, volume):
        if os.path.islink(self.device(volume)):
            loop = os.path.realpath(self.device(volume))
            os.unlink(self.device(volume))
            subprocess.run(["losetup", "-d", loop], check=False)

    def initialize_connection(self, volume, connector, **kwargs):
        return {"driver_volume_type": "local", "data": {"device_path": self.device(volume), "volume_id": volume.id, "access_mode": "rw"}}

    def terminate_connection(self, volume, connector, **kwargs):
        pass

    def _update_volume_stats(self):
        self._stats = {
            "volume_backend_name": "lab", "vendor_name": "lab", "driver_version": self.VERSION, "storage_protocol": "file",
            "total_capacity_gb": "infinite", "free_capacity_gb": "infinite", "reserved_percentage": 0, "QoS_support": False,
        }
