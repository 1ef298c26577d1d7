//! A node: its folder, its configuration, its processes.

use crate::cluster::process::Process;
use crate::cluster::{Programs, Site};
use crate::free_ports::free_ports;
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No command takes longer.
const COMMAND: Duration = Duration::from_secs(60);

/// A process of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// exo-master.
    Master,
    /// exo-worker.
    Worker,
    /// exo-api.
    Api,
    /// `exo up`: all three in one process.
    Up,
}

impl Part {
    /// The services, each in a process of its own.
    pub const SERVICES: [Self; 3] = [Self::Master, Self::Worker, Self::Api];

    /// Whether this process has, or is, that service.
    pub fn has(self, service: Self) -> bool {
        self == service || self == Self::Up
    }

    fn program(self) -> &'static str {
        match self {
            Self::Master => "exo-master",
            Self::Worker => "exo-worker",
            Self::Api => "exo-api",
            Self::Up => "exo",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "master",
            Self::Worker => "worker",
            Self::Api => "api",
            Self::Up => "up",
        })
    }
}

/// The ports that a node listens on.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    master: u16,
    worker: u16,
    /// Of the api on the bus.
    api_bus: u16,
    /// Of the api for users.
    api: u16,
}

impl Ports {
    /// Of every node at a site: exo's own where each has an address of its own, free ones where all share one.
    pub fn at(site: &Site) -> Result<Vec<Self>> {
        if site.has_networks() {
            return Ok(vec![Self { master: 52414, worker: 52417, api_bus: 52418, api: 52415 }; site.count()]);
        }
        let free = free_ports(4 * site.count())?;
        let of_node = |&[master, worker, api_bus, api]: &[u16; 4]| Self { master, worker, api_bus, api };
        Ok(free.as_chunks().0.iter().map(of_node).collect())
    }
}

/// What all nodes of a cluster have in common.
pub struct NodeSettings {
    /// Where the folders of the nodes are made.
    pub folder: PathBuf,
    /// Directory with the models.
    pub models: PathBuf,
    /// The cluster's namespace.
    pub namespace: String,
    /// Address and ports of every node.
    pub places: Vec<(IpAddr, Ports)>,
    /// Which nodes have a master; the others find them.
    pub masters: BTreeSet<usize>,
    /// File with the key of the apis, where they listen on more than loopback.
    pub key_file: Option<PathBuf>,
    /// Within which the apis end every request.
    pub deadline: Duration,
}

/// One node.
pub struct Node {
    number: usize,
    parts: Vec<Part>,
    folder: PathBuf,
    configuration: PathBuf,
    api: (IpAddr, u16),
    processes: BTreeMap<Part, Process>,
}

impl Node {
    /// Writes the configuration of a node. Nothing runs yet.
    pub fn new(settings: &NodeSettings, number: usize, parts: Vec<Part>) -> Result<Self> {
        let folder = settings.folder.join(name_of(number));
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let configuration = folder.join("exo.toml");
        let text = configuration_text(settings, number, &folder);
        fs::write(&configuration, text).with_context(|| configuration.display().to_string())?;
        let (address, ports) = settings.places[number];
        Ok(Self { number, parts, folder, configuration, api: (address, ports.api), processes: BTreeMap::new() })
    }

    /// Its processes, running or not.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What people call it.
    pub fn name(&self) -> String {
        name_of(self.number)
    }

    /// The id that it gave itself at its first start.
    pub fn id(&self) -> Result<String> {
        let file = self.folder.join("data/node-id");
        let id = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(id.trim().to_owned())
    }

    /// The file that its programs are configured by.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// Where its api is.
    pub fn api_url(&self) -> String {
        format!("http://{}:{}", self.api.0, self.api.1)
    }

    /// Starts a process of it, unless that runs.
    pub fn start(&mut self, site: &Site, programs: &Programs, part: Part) -> Result<()> {
        if self.is_running(part) {
            return Ok(());
        }
        let program = programs.path(part.program());
        let mut arguments = vec!["--config".to_owned(), self.configuration.display().to_string()];
        if part == Part::Up {
            arguments.insert(0, "up".to_owned());
        }
        let log = self.folder.join(format!("{part}.log"));
        let process = Process::start(site.machine(self.number), &program, arguments, log)?;
        self.processes.insert(part, process);
        Ok(())
    }

    /// Runs a command of exo here, and gives what it says.
    pub fn run(&self, site: &Site, programs: &Programs, arguments: &[&str]) -> Result<String> {
        let mut arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        arguments.extend(["--config".to_owned(), self.configuration.display().to_string()]);
        let log = self.folder.join(format!("exo-{}.log", arguments[1]));
        Process::start(site.machine(self.number), &programs.path("exo"), arguments, log)?.finish(COMMAND)
    }

    /// Whether a process of it runs.
    pub fn is_running(&mut self, part: Part) -> bool {
        self.processes.get_mut(&part).is_some_and(Process::is_running)
    }

    /// The process, if it was started.
    pub fn process(&mut self, part: Part) -> Option<&mut Process> {
        self.processes.get_mut(&part)
    }

    /// Ids of its runners.
    pub fn runners(&self) -> Vec<u32> {
        self.processes.get(&Part::Worker).map(Process::children).unwrap_or_default()
    }

    /// Kills one of its runners; false if there is none.
    pub fn kill_runner(&self, choice: u64) -> Result<bool> {
        let runners = self.runners();
        let Some(count) = u64::try_from(runners.len()).ok().filter(|count| *count > 0) else { return Ok(false) };
        let runner = runners[usize::try_from(choice % count)?];
        // One that ended by itself meanwhile is as dead.
        let _ = kill(Pid::from_raw(i32::try_from(runner)?), Signal::SIGKILL);
        Ok(true)
    }
}

/// `node-a`, `node-b`.
pub fn name_of(number: usize) -> String {
    let letter = u8::try_from(number).ok().and_then(|number| b'a'.checked_add(number)).unwrap_or(b'?');
    format!("node-{}", char::from(letter))
}

fn configuration_text(settings: &NodeSettings, number: usize, folder: &Path) -> String {
    let (address, ports) = settings.places[number];
    let masters = settings.masters.iter().filter(|master| **master != number);
    let peers =
        masters.map(|master| format!("\"{}:{}\"", settings.places[*master].0, settings.places[*master].1.master));
    let peers = peers.collect::<Vec<_>>().join(", ");
    let api = match &settings.key_file {
        Some(file) => format!("bind = \"0.0.0.0\"\nkeyFile = \"{}\"", file.display()),
        None => String::new(),
    };
    format!(
        "name = \"{name}\"\ndataDir = \"{data}\"\n\
         [api]\nport = {api_port}\nrequestTimeout = \"{deadline}s\"\n{api}\n\
         [models]\ndirs = [\"{models}\"]\n\
         [networking]\nnamespace = \"{namespace}\"\nloopbackOnly = {loopback}\nmulticast = false\n\
         clusterPort = {master}\nworkerPort = {worker}\napiPort = {api_bus}\npeers = [{peers}]\n\
         [engine]\nthreads = 1\ncontextLength = 512\n\
         [runner]\nstallTimeout = \"4s\"\nbackoffMax = \"2s\"\n",
        name = name_of(number),
        data = folder.join("data").display(),
        api_port = ports.api,
        deadline = settings.deadline.as_secs(),
        models = settings.models.display(),
        namespace = settings.namespace,
        loopback = address.is_loopback(),
        master = ports.master,
        worker = ports.worker,
        api_bus = ports.api_bus,
    )
}
