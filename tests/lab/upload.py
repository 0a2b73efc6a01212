"""upload.py CLOUDS.YAML NAME FILE: uploads a raw public guest image, which only hosts of the lxc driver can use."""
import os
import sys
import time

import openstack

clouds, name, path = sys.argv[1:]
for variable in [v for v in os.environ if v.startswith("OS_")]:
    del os.environ[variable]
os.environ["OS_CLIENT_CONFIG_FILE"] = clouds
c = openstack.connect(cloud="admin")
start = time.time()
for old in [i for i in c.image.images(name=name)]:
    c.image.delete_image(old)
c.create_image(name, filename=path, disk_format="raw", container_format="bare", visibility="public", validate_checksum=False,
               wait=True, meta={"hypervisor_type": "lxc", "os_distro": "debian", "os_version": "12", "os_admin_user": "debian"})
print(f"{name}: uploaded in {time.time() - start:.0f} s")
