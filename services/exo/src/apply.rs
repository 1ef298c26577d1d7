//! `exo apply`: makes the cluster hold the instances that a file asks for.

mod plan;

use crate::cli::ApiArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::node::find;
use crate::output::say;
use crate::overview::{ClusterReport, name_of, short};
use crate::place::wait_ready;
use clap::Args;
use exo_types::{NodeId, PlaceInstance};
use plan::{Plan, plan};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a cluster may take to have a leader: a machine that starts finds the others first.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked meanwhile.
const GLANCE: Duration = Duration::from_millis(250);

/// What is wanted, and how far to go.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// TOML with the wanted instances
    file: PathBuf,
    /// Take away what the file does not ask for
    #[arg(long)]
    prune: bool,
    /// Wait until what was placed answers
    #[arg(long)]
    wait: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do nothing unless the node that is asked leads: for a file that every machine has
    #[arg(long)]
    if_leader: bool,
    /// Only check the file; asks no api
    #[arg(long, conflicts_with_all = ["prune", "wait", "dry_run", "if_leader"])]
    check: bool,
}

/// Does it. What cannot be placed does not keep the rest from being placed, and is told at the end.
pub(crate) async fn run(args: ApplyArgs) -> Result<(), CliError> {
    let text = std::fs::read_to_string(&args.file);
    let text = text.map_err(CliError::system(format!("cannot read {}", args.file.display())))?;
    let wanted = exo_config::read_wanted(&text);
    let wanted = wanted.map_err(|source| CliError::Wanted { file: args.file.clone(), source })?;
    if args.check {
        return say(format_args!("{} asks for {} instances", args.file.display(), wanted.len()));
    }
    let client = args.api.client();
    let cluster = led(&client).await?;
    let state = client.state().await?;
    if args.if_leader
        && let Some(leader) = elsewhere(&client, &cluster).await?
    {
        return say(format_args!("left to {}, which leads", name_of(&state, &leader)));
    }
    let plan = plan(&wanted, &state, |name| find(&state, &cluster, name))?;
    carry_out(&client, &plan, &args).await
}

/// Waits until the cluster has a leader, who alone can place.
async fn led(client: &Client) -> Result<ClusterReport, CliError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let cluster: ClusterReport = client.get("/cluster").await?;
        if cluster.leader.is_some() {
            return Ok(cluster);
        }
        if Instant::now() >= deadline {
            return Err(CliError::TooLong { what: "finding a leader".to_owned(), seconds: PATIENCE.as_secs() });
        }
        sleep(GLANCE).await;
    }
}

/// The leader, if it is another node than the one that is asked.
async fn elsewhere(client: &Client, cluster: &ClusterReport) -> Result<Option<NodeId>, CliError> {
    let here: NodeId = client.get("/node_id").await?;
    Ok(cluster.leader.clone().filter(|leader| *leader != here))
}

async fn carry_out(client: &Client, plan: &Plan, args: &ApplyArgs) -> Result<(), CliError> {
    for name in &plan.there {
        say(format_args!("{name} is there"))?;
    }
    let mut failed = Vec::new();
    for (name, place) in &plan.place {
        if args.dry_run {
            say(format_args!("{name} would be placed: {}", describe(place)))?;
        } else if let Err(error) = place_one(client, name, place, args.wait).await {
            failed.push(format!("{name}: {error}"));
        }
    }
    for (instance, model) in plan.surplus.iter().filter(|_| args.prune) {
        if args.dry_run {
            say(format_args!("{model} ({}) would be taken away", short(instance)))?;
            continue;
        }
        match client.delete(&format!("/instance/{instance}")).await {
            Ok(_) => say(format_args!("{model} ({}) is taken away", short(instance)))?,
            Err(error) => failed.push(format!("{model} ({}): {error}", short(instance))),
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(CliError::NotApplied(failed)),
    }
}

async fn place_one(client: &Client, name: &str, place: &PlaceInstance, wait: bool) -> Result<(), CliError> {
    let accepted = client.post("/place_instance", &body(place)).await?;
    say(format_args!("{name} is placed: {}", describe(place)))?;
    match accepted.get("instance_id").and_then(Value::as_str) {
        Some(instance) if wait => wait_ready(client, place.model_id.as_str(), instance).await,
        _ => Ok(()),
    }
}

/// As `POST /place_instance` reads it.
fn body(place: &PlaceInstance) -> Value {
    json!({
        "model_id": place.model_id,
        "sharding": place.sharding,
        "min_nodes": place.min_nodes,
        "node_ids": place.node_ids,
        "context_length": place.context_length,
    })
}

fn describe(place: &PlaceInstance) -> String {
    let nodes = match (place.node_ids.len(), place.min_nodes) {
        (0, 1) => "on one node or more".to_owned(),
        (0, count) => format!("on {count} nodes or more"),
        (named, count) => format!("on {count} or more of {named} nodes"),
    };
    format!("{} {nodes}", place.model_id)
}
