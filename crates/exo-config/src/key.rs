//! The list of all keys.

/// What a key may be set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number, both ends included.
    Number(u64, u64),
    /// A port; 0 lets the system choose a free one.
    Port,
    /// First and last port of a range.
    Ports,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any text on one line.
    Text,
    /// A path of a file or directory, absolute.
    Path,
    /// An IP address.
    Address,
    /// A duration between two bounds, in milliseconds.
    Duration(u64, u64),
    /// An amount of memory between two bounds, in bytes.
    Memory(u64, u64),
    /// Texts; separated by commas in the environment.
    Texts,
    /// IP addresses; separated by commas in the environment.
    Addresses,
    /// Absolute paths; separated by colons in the environment.
    Paths,
    /// Model ids; separated by commas in the environment.
    ModelIds,
}

/// One key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Section and name: `api.port`.
    pub path: &'static str,
    /// What it may be set to.
    pub kind: Kind,
    /// As it would be written in the environment; empty means "not set" or an empty list.
    pub default: &'static str,
    /// What it does, one sentence or two.
    pub doc: &'static str,
}

impl Key {
    /// Name of the variable that overrides it: `EXO_API_PORT`.
    pub fn variable(&self) -> String {
        let mut name = String::from("EXO_");
        for c in self.path.chars() {
            match c {
                '.' => name.push('_'),
                c if c.is_ascii_uppercase() => name.extend(['_', c]),
                c => name.push(c.to_ascii_uppercase()),
            }
        }
        name
    }

    /// The section, or none for a key at the top.
    pub fn section(&self) -> Option<&'static str> {
        self.path.rsplit_once('.').map(|(section, _)| section)
    }

    /// The name within its section.
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }
}

/// The key of that path.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Variables that are older or shorter names of a key's own variable.
pub(crate) const ALIASES: &[(&str, &str)] =
    &[("EXO_CPU", "engine.cpu"), ("EXO_JOIN_TOKEN_FILE", "security.joinTokenFile")];

/// Variables that are no keys: the file itself, and what the command line needs to ask an api.
pub(crate) const RESERVED: &[&str] = &["EXO_CONFIG", "EXO_API_URL", "EXO_API_KEY"];

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

const fn key(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { path, kind, default, doc }
}

/// Every key, in the order of the reference document.
#[rustfmt::skip] // a table: one key a line, or two
pub const KEYS: &[Key] = &[
    key("mode", Kind::Choice(&["auto", "master", "worker"]), "auto",
        "Which roles `exo up` plays: `auto` is master, worker and api; `master` and `worker` are that role alone."),
    key("name", Kind::Text, "", "Name of this node for people. Default: the host name."),
    key("dataDir", Kind::Path, "",
        "Where the node keeps its id, its log and its models. Default: systemd's state directory, /var/lib/exo for root, ~/.local/share/exo otherwise."),

    key("api.port", Kind::Port, "52415", "Port of the HTTP API (tcp)."),
    key("api.bind", Kind::Address, "127.0.0.1", "Address on which the HTTP API listens. An address that is not loopback needs `api.keyFile`."),
    key("api.keyFile", Kind::Path, "", "File with the API keys that clients may present, one on each line. Without it no key is asked for."),
    key("api.maxBodyBytes", Kind::Memory(1 << 10, 1 << 30), "2 MiB", "Largest request body."),
    key("api.requestTimeout", Kind::Duration(SECOND, 24 * HOUR), "10m", "A request that is not answered by then ends with an error."),
    key("api.headerTimeout", Kind::Duration(100, 10 * 60 * SECOND), "10s", "A client that has not sent its request's head by then is disconnected; so is one that sends its body slower."),
    key("api.streamTimeout", Kind::Duration(SECOND, HOUR), "60s", "A stream that says nothing for so long ends with an error. While a request waits or is read, its runner says so each second."),
    key("api.maxConcurrent", Kind::Number(1, 65_536), "64", "Requests that are served at the same time; more are answered 429."),

    key("api.tls.certificate", Kind::Path, "", "PEM file with the certificate of the API and those between it and its authority. With `api.tls.key` the API speaks HTTPS only. Both are read again at a reload."),
    key("api.tls.key", Kind::Path, "", "PEM file with the private key of `api.tls.certificate`, without a passphrase."),

    key("networking.namespace", Kind::Text, "exo", "Nodes of different namespaces never join each other."),
    key("networking.clusterPort", Kind::Port, "52414", "Port of the bus of the master, and of `exo up` (tcp)."),
    key("networking.workerPort", Kind::Port, "52417", "Port of the bus of a worker that runs as its own process (tcp)."),
    key("networking.apiPort", Kind::Port, "52418", "Port of the bus of an api that runs as its own process (tcp)."),
    key("networking.discoveryPort", Kind::Port, "52416", "Port on which nodes find each other by multicast (udp)."),
    key("networking.tensorPorts", Kind::Ports, "52420-52499", "Range of ports for the links between runners (tcp)."),
    key("networking.loopbackOnly", Kind::Flag, "false", "Never leave this machine: listen on 127.0.0.1 only, find nobody else."),
    key("networking.multicast", Kind::Flag, "true", "Find other nodes by multicast, IPv4 and IPv6."),
    key("networking.peers", Kind::Texts, "", "Nodes to connect to where multicast does not reach, as `host:port`."),
    key("networking.listenAddresses", Kind::Addresses, "", "Addresses on which the bus and the runners listen. Default: all."),
    key("networking.advertiseAddress", Kind::Address, "", "Address that other nodes are told to use. Default: every address of this machine."),

    key("security.joinTokenFile", Kind::Path, "", "File with a join token (`exo cluster token`) that lets this node into a cluster when it starts for the first time. Also `EXO_JOIN_TOKEN_FILE`. Default: the credential `join-token`, if systemd gave one."),

    key("election.seniority", Kind::Number(0, u32::MAX as u64), "0", "The larger number leads when two clusters meet."),
    key("election.takeoverAfter", Kind::Duration(0, 24 * HOUR), "30s",
        "In a cluster of one or two masters that vote: how long a master waits for a lost leader before it goes on alone from what it has. With three or more a majority elects, and a minority never accepts a command. `0ms` means never."),
    key("election.leaveOnStop", Kind::Flag, "false",
        "Whether a master that is stopped leaves the cluster for good first, so that the others do not count on it. Not for machines that come back: a restart needs nothing."),

    key("models.dirs", Kind::Paths, "", "Directories with models, besides `models` in the data directory."),
    key("models.place", Kind::ModelIds, "", "Models that the leading master places whenever no instance of them exists."),
    key("models.quantize", Kind::Choice(&["none", "Q8_0", "Q4_0"]), "none", "The type in which matrices that a model stores as f32, f16 or bf16 are computed with: `Q8_0` takes half the memory of bf16, `Q4_0` about a quarter, and `none` leaves them as they are. They are converted while they are loaded. A placed model keeps the type that it was placed with, on every node."),

    key("engine.threads", Kind::Number(0, 1_024), "0", "Threads that compute, for each runner. 0 means one for each physical core."),
    key("engine.cpu", Kind::Choice(&["auto", "amx", "avx512", "avx2", "portable"]), "auto", "Instruction set of the kernels. Also `EXO_CPU`."),
    key("engine.contextLength", Kind::Number(16, 1 << 24), "4096", "Longest context in tokens that a placed model gets, where the request for it does not ask for another."),
    key("engine.maxSequences", Kind::Number(1, 1_024), "8", "Answers that one instance generates at the same time."),
    key("engine.kvCache", Kind::Choice(&["f16", "q8"]), "f16", "How keys and values of past tokens are kept: `q8` takes a little more than half of the memory of `f16`, so that longer contexts fit, and rounds. An instance keeps what it was placed with, on every node; set it alike on all of them, for what the first node with the model says counts."),
    key("engine.prefillChunk", Kind::Number(1, 65_536), "256", "Tokens of a prompt that are read in one step, at most. While answers are being generated, fewer are read of a prompt that is longer than that, so that whoever reads those along waits about one and a half times as long for each token."),
    key("engine.draftTokens", Kind::Number(0, 64), "0", "Tokens that are guessed ahead where an answer repeats what stands before it (code that is edited, lists, summaries), and checked in one step. Answers are the same with and without; 0 guesses none."),
    key("engine.prefixReuse", Kind::Flag, "true", "Whether what was computed for one request serves others that begin the same: earlier turns of a chat, instructions that all chats have. Answers are the same with and without; they come sooner, which lets whoever may use a model find out whether a beginning was in use lately. Takes no memory that contexts need."),

    key("runner.program", Kind::Path, "", "Program of a runner. Default: exo-runner beside the running program."),
    key("runner.stallTimeout", Kind::Duration(100, HOUR), "10s", "A runner that makes no progress for so long is replaced."),
    key("runner.startTimeout", Kind::Duration(SECOND, 24 * HOUR), "120s", "A runner that has not loaded by then is replaced, unless it makes progress."),
    key("runner.backoffFirst", Kind::Duration(1, HOUR), "250ms", "Pause before the first replacement of a lost runner; doubles each time."),
    key("runner.backoffMax", Kind::Duration(1, 24 * HOUR), "30s", "Longest pause before a replacement."),
    key("runner.memoryReserve", Kind::Memory(0, 1 << 44), "512 MiB", "Main memory that placement leaves to the rest of the machine."),
    key("runner.memoryLimit", Kind::Memory(1 << 20, 1 << 44), "", "Most memory that one runner may take for weights, caches and buffers; one that needs more fails to load. In a scope of systemd the kernel enforces it too. Default: no limit."),
    key("runner.confine", Kind::Flag, "true", "Whether runners may open nothing but their model, and no network but their links (Landlock and seccomp, where the kernel has them)."),

    key("logging.level", Kind::Text, "info", "`error`, `warn`, `info`, `debug` or `trace`, for everything or for parts: `info,exo_bus=debug`."),
    key("logging.format", Kind::Choice(&["auto", "text", "json"]), "auto", "`auto` is the journal under systemd and text on standard error otherwise."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_variable_follows_from_the_path() {
        for (path, expect) in [
            ("mode", "EXO_MODE"),
            ("dataDir", "EXO_DATA_DIR"),
            ("api.port", "EXO_API_PORT"),
            ("networking.loopbackOnly", "EXO_NETWORKING_LOOPBACK_ONLY"),
        ] {
            assert_eq!(find(path).expect(path).variable(), expect);
        }
    }

    #[test]
    fn no_two_keys_share_a_path_or_a_variable() {
        let paths: BTreeSet<_> = KEYS.iter().map(|key| key.path).collect();
        let variables: BTreeSet<_> = KEYS.iter().map(Key::variable).collect();
        assert_eq!((paths.len(), variables.len()), (KEYS.len(), KEYS.len()));
    }
}
