//! Telling the State what it does not know yet.

use crate::{Action, LocalNode, Plan};
use exo_state::State;
use exo_types::{Accelerator, Event, Memory, NodeHardware, NodeResources, RunnerStatus};

/// Free memory is told again when it moved by this share of the whole: 1/32, about 3 %.
const RESOURCES_STEP: u64 = 32;

/// A measured rate is told again when it moved by this share: an eighth.
const RATE_STEP: u64 = 8;

/// Steps in which the progress of loading and of downloads is told.
const PROGRESS_STEPS: u64 = 10;

fn report(plan: &mut Plan, event: Event) {
    plan.actions.push(Action::Report(event));
}

pub(super) fn report_node(state: &State, local: &LocalNode, plan: &mut Plan) {
    let node_id = &local.node_id;
    if state.node_identities.get(node_id) != Some(&local.info) {
        report(plan, Event::NodeGatheredInfo { node_id: node_id.clone(), info: local.info.clone() });
    }
    let told = state.node_memory.get(node_id);
    if told.is_none_or(|told| moved_enough(*told, local.resources)) {
        report(plan, Event::NodeResourcesChanged { node_id: node_id.clone(), resources: local.resources });
    }
    let told = state.node_hardware.get(node_id);
    let news = |now: &&NodeHardware| told.is_none_or(|told| hardware_moved_enough(told, now));
    if let Some(hardware) = local.hardware.as_ref().filter(news) {
        report(plan, Event::NodeHardwareChanged { node_id: node_id.clone(), hardware: hardware.clone() });
    }
}

/// Whether a reading differs from the one that was told by more than free memory always does.
pub(crate) fn moved_enough(told: NodeResources, now: NodeResources) -> bool {
    let moved = told.ram_available.in_bytes.abs_diff(now.ram_available.in_bytes);
    told.ram_total != now.ram_total || moved > now.ram_total.in_bytes / RESOURCES_STEP
}

/// Links and cards are told when anything about them changes; what is measured is told when it moved enough.
fn hardware_moved_enough(told: &NodeHardware, now: &NodeHardware) -> bool {
    let cards = || told.accelerators.iter().zip(&now.accelerators);
    told.links != now.links
        || told.accelerators.len() != now.accelerators.len()
        || rate_moved(told.memory_bandwidth, now.memory_bandwidth)
        || cards().any(|(told, now)| card_moved_enough(told, now))
}

fn card_moved_enough(told: &Accelerator, now: &Accelerator) -> bool {
    let measured =
        |told: &Accelerator| Accelerator { memory_free: Memory::default(), memory_bandwidth: None, ..told.clone() };
    let moved = told.memory_free.in_bytes.abs_diff(now.memory_free.in_bytes);
    measured(told) != measured(now)
        || moved > now.memory_total.in_bytes / RESOURCES_STEP
        || rate_moved(told.memory_bandwidth, now.memory_bandwidth)
}

/// A rate is measured at each start, on a machine that does other things too. What was not measured is no news.
fn rate_moved(told: Option<u64>, now: Option<u64>) -> bool {
    match (told, now) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(told), Some(now)) => told.abs_diff(now) > told / RATE_STEP,
    }
}

pub(super) fn report_downloads(state: &State, local: &LocalNode, plan: &mut Plan) {
    let told = state.downloads.get(&local.node_id).map_or(&[][..], Vec::as_slice);
    for download in &local.downloads {
        let model = &download.model_card.model_id;
        let known = told.iter().find(|known| known.model_card.model_id == *model);
        let news = known.is_none_or(|known| {
            known.model_card != download.model_card || step_of(&known.progress) != step_of(&download.progress)
        });
        if news {
            report(plan, Event::NodeDownloadProgress { download: download.clone() });
        }
    }
    for gone in told {
        let model_id = &gone.model_card.model_id;
        if !local.downloads.iter().any(|download| download.model_card.model_id == *model_id) {
            let node_id = local.node_id.clone();
            report(plan, Event::NodeDownloadRemoved { node_id, model_id: model_id.clone() });
        }
    }
}

/// What of a progress is worth telling: its kind, its tenth, its message.
fn step_of(progress: &exo_types::DownloadProgress) -> (u8, u64, u64, &str) {
    use exo_types::DownloadProgress::{DownloadCompleted, DownloadFailed, DownloadOngoing, DownloadPending};
    match progress {
        DownloadPending { total } => (0, total.in_bytes, 0, ""),
        DownloadOngoing { total, downloaded } => (1, total.in_bytes, tenth(*downloaded, *total), ""),
        DownloadCompleted { total } => (2, total.in_bytes, 0, ""),
        DownloadFailed { error_message } => (3, 0, 0, error_message),
    }
}

fn tenth(part: Memory, whole: Memory) -> u64 {
    share(part.in_bytes, whole.in_bytes)
}

fn share(part: u64, whole: u64) -> u64 {
    let tenths = u128::from(part) * u128::from(PROGRESS_STEPS) / u128::from(whole.max(1));
    u64::try_from(tenths).unwrap_or(u64::MAX)
}

/// Ways to and from this node; only to nodes that the State has, since it takes up no others.
pub(super) fn report_connections(state: &State, local: &LocalNode, plan: &mut Plan) {
    let node = &local.node_id;
    let known = |connection: &exo_types::Connection| {
        state.topology.addresses(node, &connection.sink).any(|address| address == connection.sink_address)
    };
    let news = local.connections.iter().filter(|way| state.topology.nodes.contains(&way.sink) && !known(way));
    for connection in news {
        report(plan, Event::TopologyEdgeCreated { connection: connection.clone() });
    }
    for (sink, addresses) in state.topology.connections.get(node).into_iter().flatten() {
        for sink_address in addresses {
            let connection =
                exo_types::Connection { source: node.clone(), sink: sink.clone(), sink_address: sink_address.clone() };
            if !local.connections.contains(&connection) {
                report(plan, Event::TopologyEdgeDeleted { connection });
            }
        }
    }
}

pub(super) fn report_runners(state: &State, local: &LocalNode, plan: &mut Plan) {
    for (runner_id, runner) in &local.runners {
        let wanted = state.instances.contains_key(&runner.instance_id);
        if wanted && is_news(state.runners.get(runner_id), &runner.status) {
            let (runner_id, runner_status) = (runner_id.clone(), runner.status.clone());
            report(plan, Event::RunnerStatusUpdated { runner_id, runner_status });
        }
    }
}

fn is_news(told: Option<&RunnerStatus>, now: &RunnerStatus) -> bool {
    use RunnerStatus::{RunnerLoading, RunnerShutdown};
    match (told, now) {
        // Shutdown removes the runner from the State: nothing there is what it says.
        (None, RunnerShutdown) => false,
        (
            Some(RunnerLoading { layers_loaded: before, total_layers: of }),
            RunnerLoading { layers_loaded, total_layers },
        ) if of == total_layers => {
            let tenths = |loaded: u32| share(u64::from(loaded), u64::from(*total_layers));
            tenths(*before) != tenths(*layers_loaded)
        }
        (told, now) => told != Some(now),
    }
}
