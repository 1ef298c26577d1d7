//! Processes of a cluster that never outlive their test.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine; a test that hits it has failed.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// Between two looks at something.
const MOMENT: Duration = Duration::from_millis(20);

/// Folder with exo's programs: the one that cargo built this test's own into.
pub fn programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_exo")).parent().expect("a program lies in a folder")
}

/// The models that come with the project.
pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

/// A TCP port that nothing listens on, another one each time: one that is let go may be given again at once.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let address = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = address.expect("a free port").port();
        if GIVEN.lock().expect("nobody panicked").insert(port) {
            return port;
        }
    }
}

/// A process that ends with its owner.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let output = std::fs::File::create(&log).expect("a log file in the test's folder");
        let errors = output.try_clone().expect("a second handle on the log");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{command:?}: {error}; run `./x test`")), log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours");
    }

    /// Asks it to end, and waits for that.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.wait_a_moment() {
                return status;
            }
            assert!(begin.elapsed() < DEADLINE, "still running:\n{}", self.log());
        }
    }

    /// How it ended, if it has.
    pub fn wait_a_moment(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("it is ours");
        if status.is_none() {
            std::thread::park_timeout(MOMENT);
        }
        status
    }

    /// Waits until its log says so.
    pub fn wait_for(&mut self, text: &str) {
        let says_so = || self.log().contains(text);
        wait_until(says_so, || format!("it does not say {text:?}:\n{}", self.log()));
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ids of the processes that it started.
    pub fn children(&self) -> Vec<u32> {
        children_of(self.id())
    }

    /// Those, and the ones that they started.
    pub fn descendants(&self) -> Vec<u32> {
        let mut found = self.children();
        let mut next = 0;
        while let Some(process) = found.get(next) {
            found.extend(children_of(*process));
            next += 1;
        }
        found
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.log.display(), self.log());
        }
    }
}

/// Looks until it is so.
pub fn wait_until(is_so: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < DEADLINE, "{}", otherwise());
        std::thread::park_timeout(MOMENT);
    }
}

/// Processes that have this path among their arguments or in their environment.
pub fn processes_that_know(path: &Path) -> BTreeSet<u32> {
    let path = path.as_os_str().as_encoded_bytes();
    let says = |file: PathBuf| {
        let bytes = std::fs::read(file).unwrap_or_default();
        bytes.windows(path.len()).any(|part| part == path)
    };
    let ids = std::fs::read_dir("/proc").expect("Linux").flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let place = |id: u32| Path::new("/proc").join(id.to_string());
    ids.filter(|id| says(place(*id).join("cmdline")) || says(place(*id).join("environ"))).collect()
}

/// Sends a signal by its name.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {process}");
}

/// Whether a process is there and no zombie.
pub fn is_alive(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.split_whitespace().next().is_some_and(|state| state != "Z"))
}

fn children_of(process: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()).collect()
}

/// One machine of a test cluster: its data directory, its ports, its configuration.
pub struct Node {
    folder: TempDir,
    pub api_port: u16,
    configuration: PathBuf,
}

/// What all machines of a test cluster share.
pub struct Net {
    namespace: String,
    /// Where masters listen: the static peers of everybody.
    master_port: u16,
    discovery_port: u16,
    /// Find each other instead of being told.
    multicast: bool,
}

impl Net {
    pub fn new() -> Self {
        let master_port = free_port();
        Self {
            namespace: format!("test-{}-{master_port}", std::process::id()),
            master_port,
            discovery_port: free_port(),
            multicast: false,
        }
    }

    /// Machines that nobody tells of each other.
    pub fn discovering() -> Self {
        Self { multicast: true, ..Self::new() }
    }

    /// A machine whose models lie in `models`. The first one gets the master's port.
    pub fn node(&self, name: &str, first: bool, models: &Path, more: &str) -> Node {
        self.node_with(name, first, models, more, "")
    }

    /// The same with more keys of the engine.
    pub fn node_with(&self, name: &str, first: bool, models: &Path, more: &str, engine: &str) -> Node {
        let folder = tempfile::tempdir().expect("a folder for the node");
        let api_port = free_port();
        let cluster_port = if first { self.master_port } else { free_port() };
        let configuration = folder.path().join("exo.toml");
        let text = format!(
            "name = \"{name}\"\ndataDir = \"{data}\"\n{more}\n\
             [api]\nport = {api_port}\n\
             [models]\ndirs = [\"{models}\"]\n\
             [networking]\nnamespace = \"{namespace}\"\nloopbackOnly = true\nmulticast = {multicast}\n\
             clusterPort = {cluster_port}\nworkerPort = {worker_port}\napiPort = {bus_port}\n\
             discoveryPort = {discovery_port}\npeers = [{peers}]\n\
             [engine]\nthreads = 1\ncontextLength = 2048\n{engine}\n\
             [runner]\nstallTimeout = \"1500ms\"\n",
            data = folder.path().join("data").display(),
            models = models.display(),
            namespace = self.namespace,
            worker_port = free_port(),
            bus_port = free_port(),
            discovery_port = self.discovery_port,
            multicast = self.multicast,
            peers = if self.multicast { String::new() } else { format!("\"127.0.0.1:{}\"", self.master_port) },
        );
        std::fs::write(&configuration, text).expect("the configuration is written");
        Node { folder, api_port, configuration }
    }
}

impl Node {
    /// Starts one of exo's programs here.
    pub fn start(&self, program: &str, arguments: &[&str]) -> Process {
        let mut command = self.command(program);
        command.args(arguments).arg("--config").arg(&self.configuration);
        Process::start(command, self.folder.path().join(format!("{program}.log")))
    }

    /// Lets this machine into the cluster of another, which has a master that runs, before anything starts here.
    pub fn join(&self, member: &Node) {
        let token = member.run(&["cluster", "token"]);
        self.run(&["cluster", "join", token.trim()]);
    }

    /// Runs `exo` with this machine's configuration, and gives what it prints.
    pub fn run(&self, arguments: &[&str]) -> String {
        let mut command = self.command("exo");
        let output = command.args(arguments).arg("--config").arg(&self.configuration).output().expect("exo starts");
        let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "exo {arguments:?}: {text}{errors}");
        text.into_owned()
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(programs().join(program));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EXO_")) {
            command.env_remove(name);
        }
        command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM").env_remove("CREDENTIALS_DIRECTORY");
        command
    }

    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
