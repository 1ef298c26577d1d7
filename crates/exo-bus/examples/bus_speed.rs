//! Prints what the bus costs between two processes of this machine: joining, asking, streaming, idling, and how soon a
//! killed process is missed.
//!
//! `cargo run --release -p exo-bus --example bus_speed`; with `-- everywhere` over all interfaces, not loopback only.

use exo_bus::{Bus, PresenceChange, PresenceKind, PresenceWatch, Scouting, Service, StreamService, ZenohConfig};
use exo_identity::{Identity, IdentityStore, Opening};
use exo_types::NodeId;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};

const DOUBLE: Service<u32, u32> = Service::new("double");
const COUNT: StreamService<u32, u32> = StreamService::new("count");
const READY: PresenceKind<String> = PresenceKind::new("ready");
const DEADLINE: Duration = Duration::from_secs(10);
const DISCOVERY: u16 = 52499;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const SERVE: &str = "serve";
const EVERYWHERE: &str = "everywhere";
/// Variable that tells the other process where the identity lies.
const FOLDER: &str = "BUS_SPEED_FOLDER";

fn asked_for(word: &str) -> bool {
    std::env::args().any(|argument| argument == word)
}

async fn join(name: &str, folder: &Path) -> Outcome<Bus> {
    // Both processes read the identity of the first node, and the second one is vouched for.
    let store = IdentityStore::new(folder);
    let opening = Opening {
        node_id: NodeId::new("client")?,
        namespace: "bus-speed",
        wants_authority: true,
        token: None,
        masters: &[],
        set_aside: &[],
        patience: DEADLINE,
        now: SystemTime::now(),
    };
    let (first, _) = Identity::open(&store, &opening)?;
    let identity = match name {
        "client" => first,
        other => Identity::from_parts(&first.vouch(NodeId::new(other)?, SystemTime::now())?)?,
    };
    let config = ZenohConfig {
        port: 0,
        scouting: Scouting::Multicast { port: DISCOVERY },
        loopback_only: !asked_for(EVERYWHERE),
        ..ZenohConfig::new(identity)
    };
    Ok(config.join().await?)
}

/// The other process: answers until it is killed.
async fn serve(folder: &Path) -> Outcome<()> {
    let bus = join("server", folder).await?;
    let mut requests = bus.serve(DOUBLE).await?;
    let mut streams = bus.serve_streams(COUNT).await?;
    let _ready = bus.announce(READY, &"ready".to_owned()).await?;
    loop {
        tokio::select! {
            request = requests.recv() => {
                let request = request?;
                let answer = request.request * 2;
                request.reply(&answer)?;
            }
            stream = streams.recv() => {
                let mut stream = stream?;
                for number in 0..stream.open {
                    stream.sender.send(&number).await?;
                }
                stream.sender.finish();
            }
        }
    }
}

async fn find(watch: &mut PresenceWatch<String>) -> Outcome<NodeId> {
    loop {
        if let PresenceChange::Joined { node, .. } = watch.recv().await? {
            return Ok(node);
        }
    }
}

fn start_server(folder: &Path) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?).args(std::env::args().skip(1)).arg(SERVE).env(FOLDER, folder).spawn()
}

async fn lose(watch: &mut PresenceWatch<String>) -> Outcome<()> {
    while !matches!(watch.recv().await?, PresenceChange::Left { .. }) {}
    Ok(())
}

/// A stopped process keeps its sockets and says nothing: as a machine that lost its power does.
async fn measure_silence(watch: &mut PresenceWatch<String>, folder: &Path) -> Outcome<()> {
    let mut server = start_server(folder)?;
    find(watch).await?;
    Command::new("kill").args(["-STOP", &server.id().to_string()]).status()?;
    let start = Instant::now();
    lose(watch).await?;
    println!("silent process missed   {:>9.1} ms", millis(start.elapsed()));
    server.kill()?;
    server.wait()?;
    Ok(())
}

async fn measure(folder: &Path) -> Outcome<()> {
    let mut server = start_server(folder)?;
    let start = Instant::now();
    let bus = join("client", folder).await?;
    println!("join                    {:>9.1} ms", millis(start.elapsed()));
    let mut watch = bus.watch(READY).await?;
    let node = find(&mut watch).await?;
    println!("other process found     {:>9.1} ms", millis(start.elapsed()));

    let mut times = Vec::new();
    for number in 0..2000 {
        let start = Instant::now();
        bus.request(DOUBLE, &node, &number, DEADLINE).await?;
        times.push(start.elapsed());
    }
    times.sort();
    println!("request, median         {:>9.0} µs, p99 {:.0} µs", micros(times[1000]), micros(times[1980]));

    let items = 100_000;
    let start = Instant::now();
    let mut stream = bus.open_stream(COUNT, &node, &items, DEADLINE).await?;
    stream.recv(DEADLINE).await?;
    println!("first item of a stream  {:>9.0} µs", micros(start.elapsed()));
    while stream.recv(DEADLINE).await?.is_some() {}
    println!("items of a stream       {:>9.0} /s", f64::from(items) / start.elapsed().as_secs_f64());

    let before = cpu_ticks()?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let used = cpu_ticks()? - before;
    println!("idle                    {:>9.2} % of a core, {:.0} MiB", used / 10.0, resident_mib()?);

    let start = Instant::now();
    server.kill()?;
    lose(&mut watch).await?;
    println!("killed process missed   {:>9.1} ms", millis(start.elapsed()));
    server.wait()?;
    measure_silence(&mut watch, folder).await?;
    let start = Instant::now();
    bus.close().await;
    println!("leave                   {:>9.1} ms", millis(start.elapsed()));
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// User and system time of this process in hundredths of a second.
fn cpu_ticks() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("an unknown format")?;
    let times: Vec<f64> = fields.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    Ok(times.iter().sum())
}

fn resident_mib() -> Outcome<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = statm.split_whitespace().nth(1).ok_or("an unknown format")?.parse()?;
    Ok(pages * 4096.0 / f64::from(1 << 20))
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome<()> {
    if asked_for(SERVE) {
        return serve(Path::new(&std::env::var(FOLDER)?)).await;
    }
    let folder = tempfile::tempdir()?;
    measure(folder.path()).await
}
