//! `exo demo`: two nodes on this machine.

mod node;
mod script;

use crate::client::Client;
use crate::error::CliError;
use crate::output::say;
use crate::overview::overview;
use crate::place::wait_ready;
use crate::table::{bold, dim};
use clap::Args;
use node::{DemoNode, Plan, Ports};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

const MODEL: &str = "exo-guide";
const API_PORT: u16 = 52415;
/// Two processes that start, find each other and read one small file.
const START: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);

/// What the demo can be told.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// End after the two answers; exit code 0 only if both are right
    #[arg(long)]
    once: bool,
    /// Port of the API [default: 52415, or a free one if that is taken]
    #[arg(long, value_name = "PORT")]
    api_port: Option<u16>,
    /// Directory with exo-guide.gguf [default: EXO_MODELS_DIRS, ./models, models beside the program]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

/// Starts the nodes, shows what they do, and ends them however this ends.
pub(crate) async fn run(args: DemoArgs) -> Result<(), CliError> {
    let models = find_models(args.models.clone())?;
    let directory = tempfile::Builder::new().prefix("exo-demo-").tempdir();
    let directory = directory.map_err(CliError::system("cannot make a temporary directory"))?;
    let plan = Plan { directory: directory.path().to_owned(), models, api_port: api_port(args.api_port)? };
    let ports = Ports::choose()?;
    let mut nodes = vec![plan.start_first(ports)?];
    let result = tokio::select! {
        result = show(&args, &plan, ports, &mut nodes) => result,
        () = interrupted() => {
            say("\nstopping")
        }
    };
    for node in nodes {
        node.stop().await;
    }
    result
}

async fn show(args: &DemoArgs, plan: &Plan, ports: Ports, nodes: &mut Vec<DemoNode>) -> Result<(), CliError> {
    let client = Client::new(format!("http://127.0.0.1:{}", plan.api_port), None);
    say(bold("Two nodes start on this machine, over loopback only. The second comes in with a join token."))?;
    wait_for_nodes(&client, nodes).await?;
    nodes.push(plan.start_second(ports).await?);
    wait_for_nodes(&client, nodes).await?;
    say(bold(&format!("They found each other. Placing {MODEL}, half of its layers on each.")))?;
    let accepted = client.post("/place_instance", &json!({ "model_id": MODEL, "min_nodes": 2 })).await?;
    let instance = accepted.get("instance_id").and_then(Value::as_str).unwrap_or_default();
    wait_ready(&client, MODEL, instance).await?;
    say(format_args!("\n{}", overview(&client.state().await?)))?;
    for exchange in script::EXCHANGES {
        script::ask(&client, MODEL, exchange, args.once).await?;
    }
    if args.once {
        return Ok(());
    }
    say(bold("Try it yourself:"))?;
    say(format_args!("  curl {}/v1/chat/completions -d '{}'", client.url(), script::example(MODEL)))?;
    say(format_args!("  exo chat {MODEL} --api {}", client.url()))?;
    say(format_args!("  or open {}/ in a browser.\n", client.url()))?;
    say(dim("Serving until Ctrl-C."))?;
    serve(nodes).await
}

/// Until all nodes that were started are known and have the model.
async fn wait_for_nodes(client: &Client, nodes: &mut [DemoNode]) -> Result<(), CliError> {
    let deadline = Instant::now() + START;
    loop {
        for node in nodes.iter_mut() {
            node.check()?;
        }
        if let Ok(state) = client.state().await {
            let have_model = state.downloads.values().flatten();
            let ready =
                have_model.filter(|download| download.model_card.model_id.as_str() == MODEL && download.is_complete());
            if ready.count() >= nodes.len() {
                return Ok(());
            }
        }
        if Instant::now() >= deadline {
            let logs: Vec<String> = nodes.iter().map(DemoNode::log).collect();
            let log = logs.join("\n");
            return Err(CliError::NodeEnded { name: "A or B".to_owned(), log });
        }
        sleep(GLANCE).await;
    }
}

/// Until a node ends, which it should not.
async fn serve(nodes: &mut [DemoNode]) -> Result<(), CliError> {
    loop {
        for node in nodes.iter_mut() {
            node.check()?;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

async fn interrupted() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        pressed = tokio::signal::ctrl_c() => if pressed.is_err() { std::future::pending().await },
    }
}

/// The port that was asked for; else the usual one; else any.
fn api_port(asked: Option<u16>) -> Result<u16, CliError> {
    if let Some(port) = asked {
        return Ok(port);
    }
    match TcpListener::bind((Ipv4Addr::LOCALHOST, API_PORT)) {
        Ok(_free) => Ok(API_PORT),
        Err(error) => {
            let port = node::free_port()?;
            say(format_args!("Port {API_PORT} cannot be used ({error}); the demo's API is on port {port}."))?;
            Ok(port)
        }
    }
}

/// The first directory that has the model.
fn find_models(named: Option<PathBuf>) -> Result<PathBuf, CliError> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
    let mut places: Vec<PathBuf> = match (named, std::env::var_os("EXO_MODELS_DIRS")) {
        (Some(named), _) => vec![named],
        (None, Some(variable)) => std::env::split_paths(&variable).collect(),
        (None, None) => vec![PathBuf::from("models")],
    };
    // Where the package puts it: bin/exo and share/exo/models.
    places.extend(beside.iter().flat_map(|bin| [bin.join("models"), bin.join("../share/exo/models")]));
    let found = places.iter().find(|place| place.join(format!("{MODEL}.gguf")).is_file());
    match found {
        Some(found) => std::path::absolute(found).map_err(CliError::system("cannot find the current directory")),
        None => Err(CliError::NoGuide(places)),
    }
}
