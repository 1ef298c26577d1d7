//! What can be typed.

use crate::client::Client;
use crate::cluster::{self, ClusterCommand};
use crate::error::{CliError, finish};
use crate::{apply, chat, configuration, demo, doctor, hardware, log, manual, node, place, status, up};
use clap::{Args, CommandFactory, Parser, Subcommand};
use exo_service::{CommonArgs, read_configuration};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// exo joins Linux machines into one cluster that serves language models.
///
/// Start a node with `exo up` on one machine, let others in with `exo cluster token`; they find each other in the same
/// network. Then place a model and ask it.
#[derive(Debug, Parser)]
#[command(
    name = "exo",
    version,
    propagate_version = true,
    after_help = "First steps:
  exo demo                       two nodes on this machine, a model over both, two answers
  exo up                         start a node; stop it with Ctrl-C
  exo models                     which models the nodes have
  exo place exo-guide --wait     load one
  exo chat exo-guide             talk to it
  exo status                     what runs where, and who leads

A second machine:
  exo cluster token              on a machine of the cluster: prints a join token
  exo cluster join TOKEN         on the new machine, before exo starts there"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node: master, worker and api in one process
    ///
    /// The node finds others in the same network by itself. Models are GGUF files, or directories as Hugging Face has
    /// them, in ~/.local/share/exo/models (/var/lib/exo/models for root) and in the directories of --models.
    #[command(after_help = "Examples:
  exo up
  exo up --models ~/models --api-port 8080
  exo up --mode worker --set networking.peers=10.0.0.7:52414")]
    Up(UpArgs),
    /// Show the session, its masters, nodes, placed models and runners
    ///
    /// SESSION is one life of the cluster's log; TERM counts its leaders. BEHIND is how far the log of a master is behind
    /// its leader's: a command is accepted when it is on the disks of a majority of the voters.
    #[command(after_help = "Examples:
  exo status
  exo status --watch             again every two seconds, until Ctrl-C
  exo status --json | jq .cluster.leader
  exo status --json | jq .instances")]
    Status {
        #[command(flatten)]
        api: ApiArgs,
        /// The whole State as JSON, with the masters under `cluster`
        #[arg(long)]
        json: bool,
        /// Show it again every so many seconds
        #[arg(long, short, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
              value_parser = clap::value_parser!(u64).range(1..=3600))]
        watch: Option<u64>,
    },
    /// Look at the log of the cluster, check it, back it up and restore it
    #[command(after_help = "Examples:
  exo log tail --follow          what happens in the cluster, as it happens
  exo log backup exo.backup      of the running cluster
  exo log verify                 every record on this machine's disk; stop exo-master first
  exo log restore exo.backup     a new session from it; stop exo-master first")]
    Log {
        #[command(subcommand)]
        command: log::LogCommand,
    },
    /// Take a node out of use, bring it back, or let it go
    #[command(after_help = "Examples:
  exo node drain atlas --wait    what runs there is placed elsewhere; then it may be rebooted
  exo node undrain atlas         use it again
  exo node leave                 this machine's master gives its vote away, for good
  exo node rm atlas              forget a node that does not come back")]
    Node {
        #[command(subcommand)]
        command: node::NodeCommand,
    },
    /// List the models that the nodes have
    Models {
        #[command(flatten)]
        api: ApiArgs,
        /// As OpenAI's list, in JSON
        #[arg(long)]
        json: bool,
    },
    /// Place a model: load it on one node, or cut it over several
    #[command(
        after_help = "Examples:\n  exo place exo-guide --wait\n  exo place llama-3.2-1b --min-nodes 2 --wait\n  exo place llama-3.2-1b --sharding tensor --wait"
    )]
    Place {
        #[command(flatten)]
        api: ApiArgs,
        /// Name of the model, as `exo models` lists it
        model: String,
        /// Cut it over at least so many nodes; of a tensor split two are the least
        #[arg(long, default_value_t = 1, value_name = "N")]
        min_nodes: u32,
        /// How it is cut. It says the same, token for token, either way
        #[arg(long, value_enum, default_value_t = SplitBy::Pipeline)]
        sharding: SplitBy,
        /// Wait until it answers, and show how far it is
        #[arg(long)]
        wait: bool,
    },
    /// Take a placed model away
    #[command(after_help = "Examples:\n  exo rm exo-guide\n  exo rm 9d3f02ab77c1")]
    Rm {
        #[command(flatten)]
        api: ApiArgs,
        /// The instance as `exo status` shows it, or the model's name
        instance: String,
    },
    /// Place what a file asks for and nothing of it twice
    ///
    /// The file holds instances by names of your own:
    ///
    /// [instances.guide]
    /// model = "exo-guide"
    ///
    /// Each may have minNodes (1), nodes (names or ids; any), sharding ("pipeline" or "tensor") and contextLength. An
    /// instance is recognised by these, not by its name. What the file does not ask for stays, unless --prune is given;
    /// with it, ask for a model here or in `models.place`, not in both.
    #[command(
        verbatim_doc_comment,
        after_help = "Examples:
  exo apply instances.toml --dry-run
  exo apply instances.toml --wait
  exo apply instances.toml --prune
  exo apply instances.toml --check       is the file right? Asks no api"
    )]
    Apply(apply::ApplyArgs),
    /// Talk to a placed model
    #[command(after_help = "Examples:
  exo chat exo-guide 'What is exo?'
  exo chat exo-guide                    a conversation; an empty line ends it
  cat question.txt | exo chat exo-guide")]
    Chat {
        #[command(flatten)]
        api: ApiArgs,
        /// Name of the model
        model: String,
        /// What to ask; without it, lines from the terminal
        prompt: Option<String>,
        /// 0 always takes the likeliest word
        #[arg(long, default_value_t = 0.0, value_name = "NUMBER")]
        temperature: f32,
        /// Longest answer
        #[arg(long, value_name = "TOKENS")]
        max_tokens: Option<u32>,
    },
    /// Let machines into the cluster, throw them out, list them; bring a cluster back whose masters are lost
    Cluster {
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Show what this machine has: processors, memory, cards, links, disks, power
    ///
    /// What is missing is told as a state: no driver, no permission for a file, unusable and why. Nothing of that is an
    /// error, and exo uses the processors where a card cannot be used.
    #[command(after_help = "Examples:
  exo hardware
  exo hardware --measure            memory bandwidth, power, a test of each NVIDIA card
  exo hardware --json | jq .gpus
  exo hardware --wait 60 --write /run/exo/hardware.json    when the machine starts, for the units")]
    Hardware(hardware::HardwareArgs),
    /// Check whether exo can run here as it is configured, and say what to do where it cannot
    ///
    /// Looks at the configuration, ports, addresses, clock, directories, devices, memory, disk, limits, peers and the
    /// certificate of this node. Changes nothing. Run it as the user that runs exo: `sudo -u exo exo doctor`.
    #[command(after_help = "Exit codes:
  0  nothing stands in the way; warnings may have been printed
  1  there are warnings, and --strict was given; or the command itself failed
  2  something keeps exo from working

Examples:
  exo doctor
  exo doctor --json | jq '.[] | select(.severity == \"error\")'
  exo doctor --unit worker       as the units ask before they start: only what would prevent that service")]
    Doctor(doctor::DoctorArgs),
    /// Two nodes on this machine, a model over both, two questions
    ///
    /// Needs no network and leaves nothing behind: data directories are temporary, and everything stops with Ctrl-C.
    #[command(after_help = "Examples:\n  exo demo\n  exo demo --once && echo it works")]
    Demo(demo::DemoArgs),
    /// Print the completions for a shell
    #[command(after_help = "Examples:
  exo completions bash >/etc/bash_completion.d/exo
  exo completions zsh >~/.zfunc/_exo
  exo completions fish >~/.config/fish/completions/exo.fish")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages: one for each command, and one for each service
    #[command(after_help = "Examples:\n  exo man /usr/local/share/man && man exo-place")]
    Man {
        /// Folder of manuals to write man1/exo.1 ... and man8/exo-master.8 ... into
        folder: PathBuf,
    },
}

/// How a node starts.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Which roles: auto (all), master, worker
    #[arg(long, value_name = "MODE", value_parser = ["auto", "master", "worker"])]
    pub(crate) mode: Option<String>,
    /// A directory with models, besides the data directory's own; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Vec<PathBuf>,
    /// End when standard input is closed: a node that is started by a program ends with it, however that ends
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

/// Where the api is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArgs {
    /// Address of an api [default: the one of this machine's configuration, http://127.0.0.1:52415]
    #[arg(long = "api", value_name = "URL", env = "EXO_API_URL")]
    url: Option<String>,
    /// Key, if the api asks for one [default: the first of this machine's `api.keyFile`, for this machine's api]
    #[arg(long, value_name = "KEY", env = "EXO_API_KEY", hide_env_values = true)]
    key: Option<String>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check it; exit code 64 if something is wrong
    Check {
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Print what is in effect, and where each value comes from
    Print {
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Print the page of all keys
    Reference,
}

/// Does what was typed.
pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Up(args) => up::run(args),
        Command::Config { command: ConfigCommand::Check { common } } => configuration::check(common),
        Command::Config { command: ConfigCommand::Print { common } } => configuration::print(common),
        Command::Config { command: ConfigCommand::Reference } => configuration::reference(),
        Command::Completions { shell } => finish(manual::completions(Cli::command(), shell)),
        Command::Man { folder } => finish(manual::pages(Cli::command(), &folder)),
        Command::Hardware(args) => finish(hardware::run(&args)),
        Command::Doctor(args) => doctor::run(&args),
        // The bus needs several threads.
        Command::Cluster { command } => match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => finish(runtime.block_on(cluster::run(command))),
            Err(source) => finish(Err(CliError::System { what: "cannot start".to_owned(), source })),
        },
        other => match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => finish(runtime.block_on(ask(other))),
            Err(source) => finish(Err(CliError::System { what: "cannot start".to_owned(), source })),
        },
    }
}

/// How a model is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SplitBy {
    /// By layers: every node has some of them. One message a node and token, so that any network will do
    Pipeline,
    /// By heads and rows: every node has a share of every layer, at most one node for each head. All compute at the same
    /// time, which makes each answer faster, where a message takes microseconds: they exchange four times a layer
    Tensor,
}

impl SplitBy {
    /// As the API names it.
    fn word(self) -> &'static str {
        match self {
            Self::Pipeline => "Pipeline",
            Self::Tensor => "Tensor",
        }
    }
}

/// Commands that ask an api.
async fn ask(command: Command) -> Result<(), CliError> {
    match command {
        Command::Status { api, json, watch } => status::show(&api.client(), json, watch.map(Duration::from_secs)).await,
        Command::Log { command } => log::run(command).await,
        Command::Node { command } => node::run(command).await,
        Command::Models { api, json } => status::models(&api.client(), json).await,
        Command::Place { api, model, min_nodes, sharding, wait } => {
            place::place(&api.client(), &model, min_nodes, sharding.word(), wait).await
        }
        Command::Rm { api, instance } => place::remove(&api.client(), &instance).await,
        Command::Chat { api, model, prompt, temperature, max_tokens } => {
            chat::run(&api.client(), chat::Options { model, temperature, max_tokens }, prompt).await
        }
        Command::Apply(args) => apply::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Up(_)
        | Command::Config { .. }
        | Command::Cluster { .. }
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Hardware(_)
        | Command::Doctor(_) => Ok(()),
    }
}

impl ApiArgs {
    /// This machine's own key goes to this machine's api only.
    pub(crate) fn client(&self) -> Client {
        match &self.url {
            Some(url) => Client::new(url, self.key.clone()),
            None => configured(self.key.clone()),
        }
    }
}

/// The api that this machine's configuration describes, with a key for it where this user may read one; the default if
/// there is no configuration that can be read.
fn configured(key: Option<String>) -> Client {
    let common = CommonArgs { config: std::env::var_os("EXO_CONFIG").map(PathBuf::from), ..CommonArgs::default() };
    let api = match read_configuration(&common) {
        Ok(configuration) => configuration.loaded.config.api,
        Err(_) => return Client::new("http://127.0.0.1:52415", key),
    };
    let own = || api.key_file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()).and_then(first_key);
    Client::own(&api, key.or_else(own))
}

/// A file of keys has one on each line; empty ones and those after `#` are none.
fn first_key(text: String) -> Option<String> {
    text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_first_key_of_a_file_is_taken() {
        assert_eq!(first_key("# keys\n\n  one \ntwo\n".to_owned()).as_deref(), Some("one"));
        assert_eq!(first_key("\n# none\n".to_owned()), None);
    }

    /// Messages tell people what to type: every `exo …` in the sources is a command that there is.
    #[test]
    fn what_messages_tell_to_type_is_understood() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut folders = vec![root.join("services"), root.join("crates")];
        let mut checked = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry.extension().is_some_and(|extension| extension == "rs") {
                    checked += check_quoted(&std::fs::read_to_string(&entry).expect("a source"), &entry);
                }
            }
        }
        assert!(checked > 20, "{checked} commands were found");
    }

    /// Checks what stands between backticks behind `exo `, and says how much that was.
    fn check_quoted(source: &str, path: &std::path::Path) -> usize {
        let lines = source.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        let quoted = lines.flat_map(|line| line.split('`').skip(1).step_by(2)).filter(|text| text.starts_with("exo "));
        quoted
            .inspect(|text| {
                let typed = text.split(" > ").next().unwrap_or(text);
                let words = typed.split(' ').map(|word| if word.starts_with('{') { "x" } else { word });
                if let Err(error) = Cli::try_parse_from(words) {
                    // A message may name a command and leave open of what.
                    use clap::error::ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument};
                    let is_open = [MissingRequiredArgument, DisplayHelpOnMissingArgumentOrSubcommand];
                    assert!(is_open.contains(&error.kind()), "{}: `{text}`: {error}", path.display());
                }
            })
            .count()
    }

    #[test]
    fn what_is_typed_is_understood() {
        for line in [
            "exo up --mode worker --models /a --models /b --set api.port=1",
            "exo status --json",
            "exo status --watch",
            "exo status -w 5",
            "exo log tail --follow --since 7 --json",
            "exo log tail -n 5 --offline --data-dir /x",
            "exo log export",
            "exo log verify --data-dir /x",
            "exo log verify --backup f",
            "exo log backup f",
            "exo log restore f --replace",
            "exo node drain n --wait",
            "exo node leave --api http://h:1",
            "exo cluster recover --yes",
            "exo place m --min-nodes 2 --wait --api http://h:1",
            "exo place m --sharding tensor",
            "exo rm m",
            "exo apply f --prune --wait --if-leader",
            "exo apply f --check",
            "exo completions fish",
            "exo man /x",
            "exo chat m hello --temperature 1",
            "exo config print --data-dir /x",
            "exo demo --once --api-port 1",
            "exo hardware --measure --json --data-dir /x",
            "exo hardware --wait 60 --require cuda --write /run/exo/hardware.json",
            "exo doctor --strict --json --config /x",
            "exo doctor --unit worker",
            "exo cluster token --reusable --expires 7d --address 10.0.0.7:52414 --data-dir /x",
            "exo cluster join exo1-abc --set networking.namespace=lab",
            "exo cluster revoke attic",
            "exo cluster nodes --json",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "exo",
            "exo status -w 0",
            "exo log",
            "exo log restore",
            "exo node drain",
            "exo up --mode boss",
            "exo place",
            "exo chat",
            "exo demo --twice",
            "exo apply",
            "exo apply f --check --prune",
            "exo completions telepathy",
            "exo hardware --require gpu",
            "exo doctor --unit dashboard",
            "exo cluster token --expires soon",
            "exo cluster join",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
