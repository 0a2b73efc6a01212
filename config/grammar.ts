/**
 * What each kind of text in a config may look like. A value that has its grammar cannot be an option, a second word, a quote
 * or the end of a line for whatever reads it later. That is one of two defences: values are also quoted for where they go.
 */

/** A pattern, and in plain words what it takes. */
export interface Grammar {
  readonly pattern: RegExp;
  readonly rule: string;
}

const OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const HOST = "[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?";
const PORT = "(:[0-9]{1,5})?";
/** A path of an image: Docker's own grammar. */
const PATH = "[a-z0-9]+((\\.|__?|-+)[a-z0-9]+)*(/[a-z0-9]+((\\.|__?|-+)[a-z0-9]+)*)*";
const IMAGE = `(${HOST}${PORT}/)?${PATH}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?`;
const DIGEST = "@sha256:[0-9a-f]{64}";
/** A URL without what quotes, ends or begins something in a shell, a unit or a list of sources. Anything else is percent-encoded. */
const URL = "https?://[A-Za-z0-9._~:/?@&=+,%-]+";
const SUM = "#sha256=[0-9a-f]{64}";

const whole = (source: string): RegExp => new RegExp(`^${source}$`);

/** A name of the machines' DNS, or an address. */
export const host: Grammar = { pattern: whole(HOST), rule: "host names or addresses" };

/** A name as certificates and browsers have it: in lower case, of labels of at most 63 characters. */
export const domain: Grammar = {
  pattern: /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/,
  rule: "a host name in lower case, without a scheme or a port, or an IPv4 address",
};

/** Path of a file of this machine. */
export const path: Grammar = {
  pattern: /^[A-Za-z0-9._/@%+][A-Za-z0-9._/@%+-]{0,1023}$/,
  rule: "a path of letters, digits and . _ / @ % + -",
};

export const acmeDirectory: Grammar = {
  pattern: /^https:\/\/[A-Za-z0-9._~:/%-]+$/,
  rule: "an https address without a login or a query",
};

/** Address of an OpenID provider: it ends in no slash, and what a provider says of itself is compared with it. */
export const issuer: Grammar = {
  pattern: /^https:\/\/[A-Za-z0-9._~:/%-]*[A-Za-z0-9._~%-]$/,
  rule: "an https address without a login, a query or a slash at its end",
};

/** Who somebody is to an OpenID provider: an address, a name, a number. */
export const identity: Grammar = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9._@+|:/=-]{0,254}$/,
  rule: "a name of letters, digits and . _ @ + | : / = -",
};

export const email: Grammar = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/,
  rule: "an address of e-mail",
};

export const ipv4: Grammar = { pattern: whole(`${OCTET}(\\.${OCTET}){3}`), rule: "an IPv4 address" };

/** Something of an OpenStack project. Clouds take any text as a name; what they do not take away is the id. */
export const cloudName: Grammar = {
  pattern: /^[\p{L}\p{N}]([\p{L}\p{N} ._:/+,()@#&=~[\]-]{0,253}[\p{L}\p{N})\]+])?$/u,
  rule: "a name of letters, digits, spaces and . _ : / + , ( ) @ # & = ~ [ ] -, or an id",
};

/** Ids of Neutron, which some clouds write without dashes. */
export const cloudId: Grammar = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/,
  rule: "an id of letters, digits and dashes",
};

export const registry: Grammar = {
  pattern: whole(`${HOST}${PORT}(/${PATH})?`),
  rule: "host[:port][/path], without a scheme, a login or spaces",
};

export const imageByDigest: Grammar = {
  pattern: whole(`${IMAGE}${DIGEST}`),
  rule: "host/path@sha256:… with 64 hexadecimal digits",
};

/** An image as Mesos hands it to Docker: without a tag, it would add one. */
export const taggedImage: Grammar = {
  pattern: whole(
    `(${HOST}${PORT}/)?${PATH}((:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?${DIGEST}|:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})`,
  ),
  rule: "images with a tag or a digest, such as docker.elastic.co/elasticsearch/elasticsearch:8.15.3",
};

/** A folder that holds data: not one of the system, by which a container would be the machine. */
export const taskFolder: Grammar = {
  pattern: /^\/(srv|mnt|media|data|opt|home|var\/(lib\/spark|tmp|data))(\/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}){1,8}$/,
  rule: "folders below /srv, /mnt, /media, /data, /opt, /home, /var/data, /var/tmp or /var/lib/spark",
};

/** A login name: no colon, which would end it in HTTP. */
export const loginName: Grammar = {
  pattern: /^[A-Za-z0-9_][A-Za-z0-9_.@+$-]{0,254}$/,
  rule: "a user name of letters, digits and _ . @ + $ -",
};

export const accessKey: Grammar = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9._+/=@:-]{0,127}$/,
  rule: "a key of letters, digits and . _ + / = @ : -",
};

export const dockerImage: Grammar = {
  pattern: whole(`docker://${IMAGE}(${DIGEST})?`),
  rule: "docker://image[:tag][@sha256:…]",
};

/** Where software is downloaded from, with the digest of what comes. */
export const source: Grammar = {
  pattern: whole(`(docker://${IMAGE}${DIGEST}|(deb\\+)?${URL}${SUM}|file:///[A-Za-z0-9._/+@%-]+${SUM})`),
  rule: "a source with its digest, or empty",
};

/** The same before it is pinned: the digest may be left out. */
export const unpinnedSource: Grammar = {
  pattern: whole(`(docker://${IMAGE}(${DIGEST})?|(deb\\+)?${URL}(${SUM})?|file:///[A-Za-z0-9._/+@%-]+(${SUM})?)`),
  rule: "docker://image[:tag][@sha256:…], [deb+]https://…[#sha256=…] or file:///…[#sha256=…]",
};

export const mirror: Grammar = { pattern: whole(URL), rule: "an http(s) address, or empty" };

/** A proxy: no login, which would stand in the environment of every program. */
export const proxy: Grammar = {
  pattern: whole(`http://${HOST}${PORT}/?`),
  rule: "http://host:port without a login, or empty",
};

/** What is reached without a proxy. A star would mean something else to each program. */
export const proxyException: Grammar = {
  pattern: whole(`(\\.?${HOST}|${OCTET}(\\.${OCTET}){3}/([89]|[12][0-9]|3[0-2]))`),
  rule: "host names, addresses, domains with a dot in front, or IPv4 networks of /8 and smaller",
};

/** A Maven repository: no login, which Ivy would not send, and no query. */
export const mavenRepository: Grammar = {
  pattern: whole(`https?://${HOST}${PORT}(/[A-Za-z0-9._~%+-]+)*/?`),
  rule: "an http(s) address without a login or a query, or empty",
};

/** A certificate: what stands in a PEM file between its first and its last line. */
export const certificate: Grammar = {
  pattern: /^MI[A-Za-z0-9+/]([A-Za-z0-9+/ ]*[A-Za-z0-9+/])?={0,2}$/,
  rule: "certificates in base64, each on one line",
};

/** A name of a property: not `__proto__`, and nothing that ends a key in a properties file. */
export const propertyName: Grammar = {
  pattern: /^[A-Za-z][A-Za-z0-9_.-]{0,254}$/,
  rule: "a name of letters, digits, dots, dashes and underscores",
};

/** Spark takes white space off both ends of a value. */
export const propertyValue: Grammar = {
  pattern: /^(\S(.*\S)?)?$/u,
  rule: "one line of text without white space at its ends",
};

/** What Mesos itself takes: text, ranges and sets (its documentation: "Attributes and Resources"). */
export const attributeValue: Grammar = {
  pattern: /^([A-Za-z0-9_/.-]+|\[[0-9]+-[0-9]+(,[0-9]+-[0-9]+)*\]|\{[A-Za-z0-9_/.-]+(,[A-Za-z0-9_/.-]+)*\})$/,
  rule: "letters, digits and _/.- (or a range [1-10], or a set {a,b})",
};

const DAY = "(Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
const DAYS = `${DAY}(-${DAY})?`;
const CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]";

/** Days of the week and hours of the day. Hours that end where they begin would be none, or all. */
export const weekHours: Grammar = {
  pattern: whole(`(daily|${DAYS}(,${DAYS})*) (?<from>${CLOCK})-(?!\\k<from>$)(${CLOCK}|24:00)`),
  rule: "days and hours such as Mon-Fri 08:00-18:00, Sat,Sun 10:00-14:00 or daily 22:00-02:00",
};

/** A device file of Linux. */
export const device: Grammar = {
  pattern: /^\/dev(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$/,
  rule: "the path of a device such as /dev/nvidia0",
};

/** A name that the config gives: of the cluster, a team, a framework or a role. */
export const shortName: Grammar = {
  pattern: /^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$/,
  rule: "a name of lower-case letters, digits and dashes",
};

/** A user of the hub, who must not be one of the image's as well. */
export const hubUser: Grammar = {
  pattern:
    /^(?!(root|hdfs|daemon|bin|sys|sync|games|man|lp|mail|news|uucp|proxy|www-data|backup|list|irc|nobody|spark|hub|caddy|gateway|systemd.*)$)[a-z]([a-z0-9-]{0,18}[a-z0-9])?$/,
  rule: "a name of lower-case letters, digits and dashes, at most 20, that is none of the system's, such as root or spark",
};

/** Login user of a guest image. */
export const guestUser: Grammar = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/,
  rule: "a user name of letters, digits, dots, dashes and underscores",
};

/** Name of one of this project's images. */
export const imageName: Grammar = { pattern: /^[a-z][a-z0-9-]{0,40}$/, rule: "an image of this project" };
