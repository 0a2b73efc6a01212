"""Calls the lab's APIs for cloud.sh: first contents, quotas, leftovers, faults. Logs in as admin unless stated otherwise."""
import json
import os
import sys
import time

import openstack

HOST, PASSWORD, VERB, *ARGS = sys.argv[1:]
REGION = "RegionOne"
PROJECT = os.environ.get("LAB_PROJECT", "demo")
# name: (type, URL)
ENDPOINTS = {
    "placement": ("placement", ":8778"),
    "glance": ("image", ":9292"),
    "nova": ("compute", ":8774/v2.1"),
    "neutron": ("network", ":9696"),
    "cinderv3": ("volumev3", ":8776/v3/%(project_id)s"),
}
# name: (vCPUs, MiB, GB)
FLAVORS = {
    "m1.nano": (1, 128, 1), "m1.tiny": (1, 512, 3), "m1.small": (1, 1024, 5),
    "m1.medium": (2, 2048, 10), "m1.large": (2, 4096, 20),
}
QUOTAS = {
    "compute": ["instances", "cores", "ram", "key_pairs", "server_groups", "server_group_members", "metadata_items"],
    "volume": ["volumes", "gigabytes", "snapshots"],
    "network": ["networks", "subnets", "ports", "routers", "floatingips", "security_groups", "security_group_rules"],
}


def connect(user="admin", project="admin"):
    return openstack.connect(
        load_envvars=False, load_yaml_config=False, region_name=REGION,
        auth=dict(auth_url=f"http://{HOST}:5000/v3", username=user, password=PASSWORD, project_name=project,
                  user_domain_id="default", project_domain_id="default"))


def retry(seconds, what, ask):
    """Repeats a request until its result is true, because the services start one after the other."""
    end, error = time.time() + float(seconds), None
    while time.time() < end:
        try:
            answer = ask()
            if answer:
                return answer
        except Exception as e:  # services that are still starting raise many kinds of errors
            error = e
        time.sleep(0.3)
    sys.exit(f"cloud.py: gave up waiting for {what}: {error or 'not there yet'}")


def authorized(c):
    c.authorize()
    return c


def find(items, name):
    return next((i for i in items if i.name == name), None)


def cinder_services(c):
    return c.block_storage.get("/os-services").json()["services"]


def identity():
    """Services and endpoints; user demo in project demo, user service in project service."""
    c = retry(120, "Keystone", lambda: authorized(connect()))
    i = c.identity
    known = {s.name for s in i.services()}
    for name, (kind, url) in ENDPOINTS.items():
        if name not in known:
            service = i.create_service(name=name, type=kind)
            for interface in ("public", "internal", "admin"):
                i.create_endpoint(service_id=service.id, interface=interface, url=f"http://{HOST}{url}", region_id=REGION)
    roles = {r.name for r in i.roles()}
    for role in ("service", "member"):
        if role not in roles:
            i.create_role(name=role)
    add_project(c, "service", "admin", "service")
    add_project(c, "demo", "member")


def add_project(c, name, *roles):
    """A project and a user, both of that name."""
    i = c.identity
    project = i.find_project(name) or i.create_project(name=name, domain_id="default")
    user = i.find_user(name) or i.create_user(name=name, password=PASSWORD, domain_id="default", default_project_id=project.id)
    for role in roles:
        i.assign_project_role_to_user(project, user, i.find_role(role))
    i.assign_project_role_to_user(project, i.find_user("admin"), i.find_role("admin"))


def project(name):
    add_project(connect(), name, "member")
    print(f"export OS_USERNAME={name} OS_PASSWORD={PASSWORD} OS_PROJECT_NAME={name}")


def cloud(prefix, driver):
    """Flavors, the external network, the fake driver's image; returns when a first server can be made."""
    c = connect()
    for name, (vcpus, ram, disk) in FLAVORS.items():
        retry(120, "Nova", lambda: c.compute.find_flavor(name) or c.compute.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=disk))
    net = retry(120, "Neutron", lambda: c.network.find_network("public") or c.network.create_network(
        name="public", is_router_external=True, is_shared=False, provider_network_type="flat", provider_physical_network="public"))
    c.network.find_subnet("public") or c.network.create_subnet(
        name="public", network_id=net.id, ip_version=4, cidr=f"{prefix}.0/24", gateway_ip=f"{prefix}.1", is_dhcp_enabled=False,
        allocation_pools=[{"start": f"{prefix}.100", "end": f"{prefix}.250"}])
    if driver == "fake" and not find(c.image.images(), "debian-12"):
        c.create_image("debian-12", data=b"\0" * 1024, disk_format="raw", container_format="bare", visibility="public",
                       validate_checksum=False, meta={"hypervisor_type": "fake"})
    retry(180, "four network agents", lambda: len([a for a in c.network.agents() if a.is_alive]) >= 4)
    retry(180, "Cinder", lambda: {s["binary"] for s in cinder_services(c) if s["state"] == "up"} >= {"cinder-volume", "cinder-scheduler"})
    wait_host("ctl", 180)


def wait_host(host, seconds, zone=""):
    c = connect()
    retry(seconds, f"nova-compute on {host}", lambda: any(
        s.host == host and s.binary == "nova-compute" and s.state == "up" for s in c.compute.services()))
    retry(seconds, f"hypervisor {host}", lambda: any(h.name == host for h in c.compute.hypervisors()))
    retry(seconds, f"the network agent on {host}", lambda: any(
        a.host == host and a.is_alive and a.binary == "neutron-linuxbridge-agent" for a in c.network.agents()))
    if zone:
        aggregate = find(c.compute.aggregates(), zone) or c.compute.create_aggregate(name=zone, availability_zone=zone)
        if host not in (aggregate.hosts or []):
            c.compute.add_host_to_aggregate(aggregate, host)


def quota(*settings):
    c = connect()
    project = c.identity.find_project(PROJECT, ignore_missing=False).id
    for setting in settings:
        name, _, value = setting.partition("=")
        service = next((s for s, names in QUOTAS.items() if name in names), None)
        if service is None or not value.lstrip("-").isdigit():
            sys.exit(f"cloud.py: quota {setting!r}: want NAME=NUMBER, NAME one of {', '.join(n for ns in QUOTAS.values() for n in ns)}")
        {"compute": c.set_compute_quotas, "volume": c.set_volume_quotas, "network": c.set_network_quotas}[service](
            project, **{{"floatingips": "floating_ips"}.get(name, name): int(value)})


def leftovers():
    """Lists, as the project's own user, everything that an empty project does not have."""
    c = connect(PROJECT, PROJECT)
    project = c.current_project_id
    own = dict(project_id=project)
    found = {
        "servers": c.compute.servers(),
        "server_groups": c.compute.server_groups(),
        "keypairs": c.compute.keypairs(),
        "volumes": c.block_storage.volumes(),
        "snapshots": c.block_storage.snapshots(),
        "images": (i for i in c.image.images() if i.owner == project),
        "ports": (p for p in c.network.ports(**own) if not (p.device_owner or "").startswith("network:")),
        "floating_ips": c.network.ips(**own),
        "routers": c.network.routers(**own),
        "networks": c.network.networks(**own),
        "subnets": c.network.subnets(**own),
        "security_groups": (g for g in c.network.security_groups(**own) if g.name != "default"),
    }
    print(json.dumps({kind: [{"id": i.id, "name": i.name} for i in items] for kind, items in found.items()}, indent=2))


def server_error(name):
    c = connect()
    hits = [s for s in c.compute.servers(all_projects=True, name=f"^{name}$")] or [s for s in c.compute.servers(all_projects=True) if s.id == name]
    if len(hits) != 1:
        sys.exit(f"cloud.py: {len(hits)} servers are called {name!r}")
    c.compute.reset_server_state(hits[0], "error")


def scheduling(enabled):
    c = connect()
    for s in c.compute.services():
        if s.binary == "nova-compute":
            (c.compute.enable_service if enabled else c.compute.disable_service)(s)


def answers(api, seconds):
    """Waits until the service answers; its port listens earlier."""
    c = connect()
    ask = {
        "identity": lambda: list(c.identity.projects()), "image": lambda: list(c.image.images()) or True,
        "compute": lambda: list(c.compute.flavors()), "network": lambda: list(c.network.networks()),
        "volume": lambda: cinder_services(c), "placement": lambda: True,
    }[api]
    retry(seconds, f"the {api} API", ask)


{
    "identity": identity, "cloud": cloud, "wait-host": wait_host, "quota": quota, "leftovers": leftovers, "project": project,
    "server-error": server_error, "scheduling-off": lambda: scheduling(False), "scheduling-on": lambda: scheduling(True),
    "answers": answers,
}[VERB](*ARGS)
