import { section } from "../fields.ts";
import * as text from "../grammar.ts";

const network = section("Network");

/** Keys of the section "Network". */
export const networkKeys = {
  networkCidr: network.cidr("10.72.0.0/16", {
    doc: "Addresses of the cluster's own network. The first 64 are kept for everything but agents and datanodes.",
    fix: "use a private IPv4 network with room for all machines, such as 10.72.0.0/16",
  }),
  externalNetwork: network.optionalText(
    {
      userMustSet: true,
      doc: "External network (by name) that floating IPs come from and the router leads to.",
      fix: "name the external network: openstack network list --external",
    },
    text.cloudName.pattern,
    text.cloudName.rule,
  ),
  existingNetworkId: network.optionalText(
    {
      doc: "Id of a network to use instead of a new one. `networkCidr` must then be free in it, and `existingSubnetId` set.",
      derived: "a new network, subnet and router",
    },
    text.cloudId.pattern,
    text.cloudId.rule,
  ),
  existingSubnetId: network.optionalText(
    { doc: "Id of the subnet to use in `existingNetworkId`." },
    text.cloudId.pattern,
    text.cloudId.rule,
  ),
  adminCidrs: network.cidrs({
    userMustSet: true,
    doc: "Networks that may reach the bastion's SSH. Nothing else is open to the outside but what `userCidrs` opens.",
    fix: "list the networks that you administer from, such as 198.51.100.7/32",
  }),
  userCidrs: network.cidrs({
    doc: "Networks that may open the gateway at the bastion's public address (platform `openstack`): `https://` and `domain`, or that address. The bastion forwards ports 443 and 80 to it as they are. Needs `tls`; more addresses than four networks such as 10.0.0.0/8 need `openToNetwork` as well. With `tls: acme` port 80 is open to everyone, who finds nothing there but the way to HTTPS and answers for the ACME server.",
    derived: "nobody: people come by SSH",
    fix: "list the networks of those who use the cluster, such as 198.51.100.0/24",
  }),
  egressCidrs: network.cidrs({
    doc: "Networks outside of the cluster that its machines may connect to: mirrors, registries, an object store, proxies. The cluster's own network, the metadata service, `dnsServers`, and `ntpServers` and `httpProxy` where they are addresses, are always among them; IPv6 is not then. Set `dnsServers` where the cloud's own lie outside of the cluster's network. A machine needs its package mirror, and the sources and images of the config, to come up.",
    derived: "anywhere",
    fix: "list networks such as 198.51.100.0/24",
  }),
  dockerCidr: network.cidr("172.17.0.0/16", {
    doc: "Addresses of Docker's own bridge on the machines of an OpenStack. No service of the cluster uses it, but what lies there is out of the machines' reach.",
    fix: "use a private network that nothing else uses, such as 10.200.0.0/24",
  }),
  dnsServers: network.list(text.ipv4.pattern, "IPv4 addresses", {
    doc: "DNS servers for the new subnet.",
    derived: "the cloud's own",
  }),
  ntpServers: network.list(text.host.pattern, text.host.rule, {
    doc: "Time servers of the machines (systemd-timesyncd or chrony): certificates and signed requests need the right time.",
    derived: "the guest image's own",
  }),
  httpProxy: network.optionalText(
    {
      doc: "HTTP proxy through which machines reach what lies outside: packages, images, Python packages, jars, and what notebooks ask for by curl, pip, requests or Spark's packages. It must take CONNECT for https. Programs of executors do not use it.",
      derived: "machines reach the outside directly",
      fix: "give http://host:port; a proxy with a login needs one without beside it",
    },
    text.proxy.pattern,
    text.proxy.rule,
  ),
  noProxy: network.list(text.proxyException.pattern, text.proxyException.rule, {
    doc: "What is reached without `httpProxy`. The cluster's own addresses and the metadata service are always among it.",
    fix: "write .example.org for all hosts of a domain, 10.0.0.0/8 for a network",
  }),
  bindAddress: network.text(
    "127.0.0.1",
    {
      doc: "Address of this machine on which `make up` publishes Jupyter and the web UIs (platform `docker`). Any but a loopback address needs `tls`, and then the gateway alone is published there, or `openToNetwork`.",
    },
    text.ipv4.pattern,
    text.ipv4.rule,
  ),
  openToNetwork: network.boolean(false, {
    doc: "Whether everything that is published may be on a `bindAddress` that other machines reach (platform `docker`), without encryption. Jupyter alone asks for its token there: whoever reaches the other pages reads what jobs do, and Spark's own let them end jobs. On OpenStack: whether `userCidrs` may be the whole internet.",
  }),
  gateway: network.boolean(true, {
    doc: "Whether the client serves every page of the cluster under one address (`gatewayPort`), behind one login: JupyterLab, Spark, Mesos, Marathon and HDFS, and a landing page that says how the cluster is. Pages without a login of their own are then reached through it alone. JupyterLab's paths begin with `/jupyter/` then.",
  }),

  tls: network.oneOf(["none", "own", "files", "acme"], "none", {
    doc: "How the gateway is encrypted. `none`: not at all, which is fine on a loopback address and through the SSH tunnel of OpenStack, and nowhere else. `own`: by a certificate authority of the cluster's own, which is good for its names and no others; `triplewide certificate` prints it for a browser or for curl's `--cacert`. `files`: by `tlsCertificate` and `tlsKey`. `acme`: by a certificate that the gateway gets and renews itself (`acmeDirectory`).",
  }),
  domain: network.optionalText(
    {
      doc: "Name, or IPv4 address, by which people open the gateway: in its certificate and in links. It needs `tls`, and a record in your DNS that leads to the gateway.",
      derived: "localhost, and `bindAddress` on platform `docker`",
    },
    text.domain.pattern,
    text.domain.rule,
  ),
  dnsZone: network.optionalText(
    {
      doc: "Zone of the cloud's own DNS (Designate), by its name, in which `up` makes a record that leads `domain` to the bastion. Needs `userCidrs`.",
      derived: "your own DNS leads there",
      fix: "name a zone: openstack zone list",
    },
    text.domain.pattern,
    "the name of a zone in lower case, without a dot at its end, such as example.org",
  ),
  tlsCertificate: network.optionalText(
    {
      doc: "File with the certificate for `domain` in PEM, followed by those of its issuers (`tls: files`): its path, from the folder of this checkout or from `/`. A new one is taken over by the next `up`, which restarts the gateway on platform `docker` and replaces the client on OpenStack.",
      fix: "give a path such as certificates/spark.pem",
    },
    text.path.pattern,
    text.path.rule,
  ),
  tlsKey: network.optionalSecret({
    doc: "Private key of `tlsCertificate`, without a password: what stands in its PEM file between the first and the last line, on one line, which is `openssl pkey -in spark.key | sed '/^-/d' | tr -d '\\n'`. Set it with `pulumi config set --secret tlsKey`; `make up` cannot decrypt: give it the value itself, in an environment file that is not committed.",
  }),
  acmeDirectory: network.optionalText(
    {
      doc: "Address of the ACME server that certificates come from (`tls: acme`). Using one means to agree to its terms. Where its own certificate is not one of the public authorities', `trustedCertificates`.",
      derived: "Let's Encrypt",
      fix: "give the https address of the server's directory",
    },
    text.acmeDirectory.pattern,
    text.acmeDirectory.rule,
  ),
  acmeEmail: network.optionalText(
    { doc: "Where the ACME server writes to when something is wrong with a certificate.", derived: "nobody" },
    text.email.pattern,
    text.email.rule,
  ),
} as const;
