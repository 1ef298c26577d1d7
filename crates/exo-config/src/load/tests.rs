use super::*;
use crate::{Cpu, Mode, print};
use proptest::prelude::*;
use std::time::Duration;

fn sources<'a>(file: &'a str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Sources<'a> {
    Sources {
        surroundings: Surroundings { host_name: "atlas".to_owned(), data_dir: "/var/lib/exo".to_owned() },
        file: Some(("exo.toml", file)),
        environment: environment.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
        flags: flags.iter().map(|(path, text)| (format!("--{path}"), *path, (*text).to_owned())).collect(),
    }
}

fn config(file: &str) -> Config {
    load(&sources(file, &[], &[])).expect(file).config
}

fn refused(file: &str) -> String {
    load(&sources(file, &[], &[])).expect_err(file).to_string()
}

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let config = config("");
    assert_eq!((config.mode, config.name.as_str()), (Mode::Auto, "atlas"));
    assert_eq!(config.api.port, 52415);
    assert!(config.api.bind.is_loopback());
    assert_eq!(config.api.max_body_bytes, 2 << 20);
    assert_eq!(config.api.request_timeout, Duration::from_secs(600));
    assert_eq!(config.networking.cluster_port, 52414);
    assert_eq!(config.networking.discovery_port, 52416);
    assert_eq!(config.networking.tensor_ports, (52420, 52499));
    assert_eq!(config.runner.backoff_first, Duration::from_millis(250));
    assert_eq!(config.model_dirs(), [std::path::PathBuf::from("/var/lib/exo/models")]);
}

#[test]
fn integers_may_have_any_notation_of_toml() {
    let read = config("[runner]\nmemoryReserve = 0x40000000\n[networking]\ntensorPorts = [0xcCc4, 0b1100110100010011]");
    assert_eq!(read.runner.memory_reserve, exo_types::Memory::bytes(1 << 30));
    assert_eq!(read.networking.tensor_ports, (0xccc4, 0xcd13));
    assert!(refused("[runner]\nmemoryReserve = -1").contains("memoryReserve"));
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let file = "[api]\nport = 1001\nmaxConcurrent = 5\n[engine]\ncpu = \"portable\"";
    let environment = [("EXO_API_PORT", "1002"), ("EXO_CPU", "avx2"), ("PATH", "/bin"), ("EXO_MODELS_DIRS", "/a:/b")];
    let loaded = load(&sources(file, &environment, &[("api.port", "1003")])).expect("all good");
    assert_eq!((loaded.config.api.port, loaded.config.api.max_concurrent), (1003, 5));
    assert_eq!(loaded.config.engine.cpu, Cpu::Avx2);
    assert_eq!(loaded.config.models.dirs, ["/a", "/b"].map(std::path::PathBuf::from));
    assert!(loaded.warnings.is_empty());
}

#[test]
fn the_keys_own_variable_wins_over_its_short_name_and_an_empty_one_sets_nothing() {
    let environment = [("EXO_ENGINE_CPU", "avx2"), ("EXO_CPU", "portable"), ("EXO_API_PORT", "")];
    let loaded = load(&sources("", &environment, &[])).expect("all good");
    assert_eq!(loaded.config.engine.cpu, Cpu::Avx2);
    assert_eq!(loaded.config.api.port, 52415);
}

#[test]
fn an_unknown_variable_is_told_with_its_neighbour() {
    let loaded = load(&sources("", &[("EXO_API_PROT", "1"), ("EXO_CONFIG", "/x")], &[])).expect("only odd");
    assert_eq!(
        loaded.warnings,
        ["environment variable EXO_API_PROT is not known and was ignored; did you mean EXO_API_PORT?"]
    );
}

#[test]
fn what_is_wrong_is_told_with_line_key_value_and_remedy() {
    for (file, expect) in [
        ("\n[api]\nprot = 1", "exo.toml:3: unknown key `api.prot`; did you mean `api.port`?"),
        ("[apii]\nport = 1", "exo.toml:1: unknown key `apii`; did you mean `[api]`?"),
        ("port = 1", "exo.toml:1: unknown key `port`; did you mean `api.port`?"),
        (
            "[api]\nport = 70000",
            "exo.toml:2: `api.port` is 70000, but must be a port from 0 to 65535 (0: any free one)",
        ),
        ("[api]\nport = -1", "exo.toml:2: `api.port` is \"-1\", but must be a port from 0 to 65535 (0: any free one)"),
        (
            "[api]\nport = \"x\"",
            "exo.toml:2: `api.port` is of type string, but must be a port from 0 to 65535 (0: any free one)",
        ),
        (
            "mode = \"wroker\"",
            "exo.toml:1: `mode` is \"wroker\", but must be one of \"auto\", \"master\", \"worker\"; did you mean \"worker\"?",
        ),
        (
            "[runner]\nstallTimeout = \"10\"",
            "exo.toml:2: `runner.stallTimeout` is \"10\", but must be a duration from 100ms to 1h, such as \"250ms\", \"10s\", \"10m\", \"1h\"",
        ),
        ("dataDir = \"exo\"", "exo.toml:1: `dataDir` is \"exo\", but must be an absolute path"),
        (
            "[models]\nplace = [\"a b\"]",
            "exo.toml:2: `models.place` is \"a b\", but must be a list of model ids (ASCII letters, digits and . _ - / :)",
        ),
        (
            "[networking]\ntensorPorts = [5, 4]",
            "exo.toml:2: `networking.tensorPorts` is [5, 4], but must be two ports from 1 to 65535, first and last, as `[52420, 52499]`",
        ),
    ] {
        assert_eq!(refused(file), expect, "{file}");
    }
    assert!(refused("api = [").starts_with("exo.toml:1: not valid TOML: "), "{}", refused("api = ["));
}

#[test]
fn all_problems_are_told_at_once() {
    assert_eq!(refused("[api]\nprot = 1\nbund = 2").lines().count(), 2);
}

#[test]
fn values_that_contradict_each_other_are_refused_with_the_remedy() {
    for (file, words) in [
        ("[api]\nport = 52414", "`api.port` and `networking.clusterPort` are both 52414"),
        ("[api]\nport = 52430", "lies in `networking.tensorPorts`"),
        ("[api]\nbind = \"0.0.0.0\"", "set `api.keyFile`"),
        ("[api.tls]\ncertificate = \"/c.pem\"", "`api.tls.key` is not"),
        ("[api]\ntls.key = \"/k.pem\"", "`api.tls.certificate` is not"),
        ("[networking]\nloopbackOnly = true\nlistenAddresses = [\"10.0.0.1\"]", "`networking.loopbackOnly`"),
        ("[networking]\nloopbackOnly = true\nadvertiseAddress = \"10.0.0.1\"", "`networking.advertiseAddress`"),
        ("[networking]\npeers = [\"10.0.0.1\"]", "is not `host:port`; write for example \"10.0.0.7:52414\""),
        ("[networking]\npeers = [\"host\"]", "is not `host:port`"),
        ("[networking]\nnamespace = \"a/b\"", "`networking.namespace`"),
        ("[networking]\ndiscoveryPort = 0", "`networking.discoveryPort`"),
        ("[runner]\nbackoffFirst = \"1m\"", "`runner.backoffMax`"),
    ] {
        let message = refused(file);
        assert!(message.contains(words), "{file}: {message}");
    }
    let open = config("[api]\nbind = \"::\"\nkeyFile = \"/etc/exo/keys\"");
    assert_eq!(open.api.key_file, Some("/etc/exo/keys".into()));
    assert_eq!(config("[api]\nport = 0\n[networking]\nclusterPort = 0\nworkerPort = 0").api.port, 0);
}

#[test]
fn what_is_printed_can_be_read_again_and_tells_origins() {
    let file = "name = \"a \\\"b\\\"\"\n[api]\nport = 8080\n[networking]\npeers = [\"h:1\"]\n[models]\ndirs = [\"/m\"]\n\
                [api.tls]\ncertificate = \"/c.pem\"\nkey = \"/k.pem\"";
    let loaded = load(&sources(file, &[("EXO_LOGGING_LEVEL", "debug")], &[("engine.threads", "2")])).expect("good");
    let printed = print(&loaded);
    assert_eq!(config(&printed), loaded.config);
    for line in ["# exo.toml:3", "# environment EXO_LOGGING_LEVEL", "# --engine.threads", "# keyFile is not set"] {
        assert!(printed.contains(line), "{line} in\n{printed}");
    }
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    let values = Values::defaults(&sources("", &[], &[]).surroundings);
    for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
        let variable = key.variable();
        let loaded = load(&sources("", &[(&variable, key.default)], &[])).expect(key.path);
        let (value, origin) = loaded.values.get(key.path);
        assert_eq!((value, origin), (&values.get(key.path).0, &Origin::Environment(variable)));
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(file in "\\PC{0,200}", value in "\\PC{0,40}") {
        let _ = load(&sources(&file, &[], &[]));
        for key in KEYS {
            let variable = key.variable();
            let _ = load(&sources("", &[(&variable, &value)], &[]));
        }
    }
}
