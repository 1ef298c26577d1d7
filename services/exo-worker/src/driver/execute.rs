//! Carrying out what the plan says.

use super::{Driver, END_GRACE, now};
use crate::cause::Cause;
use crate::liveness::Liveness;
use crate::supervised::Supervised;
use exo_models::FoundModel;
use exo_plan::{Action, ConnectOrder, LocalRunner, PeerRank};
use exo_runner_host::{Confinement, Connect, HostMessage, Limits, Load, NetworkUse, RankAddress, RunnerProgram};
use exo_state::{NodeAddress, State};
use exo_types::{ErrorChunk, ErrorCode, Instance, InstanceId, RunnerFailure, RunnerId, RunnerStatus, Shard};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use tracing::Instrument;

/// Sets of links that one process may go through before its numbers meet those of its successor, which starts at least
/// a millisecond later. Numbers stay below 2^53, which JSON keeps.
const INCARNATIONS: u64 = 1 << 10;

impl Driver {
    pub(super) fn execute(&mut self, action: Action, state: &State) {
        match action {
            Action::StartRunner { runner_id, instance, shard, losses } => {
                self.start_runner(runner_id, &instance, shard, losses);
            }
            Action::ConnectRunner { runner_id, order } => self.connect_runner(&runner_id, order, state),
            Action::StopRunner { runner_id, instance_id } => self.stop_runner(&runner_id, &instance_id),
            Action::Report(event) => (self.around.report)(event),
        }
    }

    fn start_runner(&mut self, runner_id: RunnerId, instance: &Instance, shard: Shard, losses: u32) {
        let model_id = &instance.model_card().model_id;
        let status = match self.models.get(model_id).cloned() {
            Some(model) => {
                let load = self.load_order(instance, shard, &model);
                let (instance, rank) = (&load.instance_id, load.shard.device_rank);
                tracing::info!(%instance, runner = %runner_id, model = %model_id, rank, losses, "a runner starts");
                self.spawn(runner_id.clone(), load, model.reads(), losses);
                RunnerStatus::RunnerIdle
            }
            None => {
                let error_message = format!(
                    "{model_id} is not on this node; put its file or directory into a directory of models.dirs"
                );
                RunnerStatus::RunnerFailed {
                    failure: RunnerFailure { error_message, attempt: losses.saturating_add(1), retry: true },
                }
            }
        };
        let instance_id = instance.instance_id.clone();
        let local = LocalRunner { instance_id, status, since: now(), told_to_connect: None };
        self.around.local.runners.insert(runner_id, local);
        self.plan_soon();
    }

    /// The status that was just set is told by the next plan.
    pub(super) fn plan_soon(&mut self) {
        self.wake_at = Some(now());
    }

    fn load_order(&self, instance: &Instance, shard: Shard, model: &FoundModel) -> Load {
        let settings = &self.around.settings;
        let millis = u64::try_from(exo_ambient::wall_clock().as_millis()).unwrap_or(0);
        Load {
            model_path: model.path.clone(),
            quantization: model.quantisation_for(instance.model_card()).map(|wanted| wanted.name().to_owned()),
            instance_id: instance.instance_id.clone(),
            links: (shard.world_size > 1).then(|| settings.links.clone()),
            shard,
            context_length: instance.context_length,
            max_sequences: instance.max_sequences,
            prefill_chunk: settings.prefill_chunk,
            draft_tokens: settings.draft_tokens,
            prefix_reuse: settings.prefix_reuse,
            kv_format: instance.model_card().kv_format,
            threads: settings.threads,
            isa: settings.isa.clone(),
            memory_limit: settings.memory_limit,
            incarnation: millis.saturating_mul(INCARNATIONS),
        }
    }

    fn spawn(&mut self, runner_id: RunnerId, load: Load, reads: Vec<PathBuf>, losses: u32) {
        let settings = &self.around.settings;
        let liveness = Liveness::new(now(), settings.stall_timeout, settings.start_timeout);
        let what = RunnerProgram {
            program: settings.program.clone(),
            args: Vec::new(),
            name: runner_id.to_string(),
            limits: Limits::default(),
            confinement: settings.confine.then(|| confinement(&load, reads)),
        };
        let life = self.new_life();
        let (host, causes) = (self.around.host.clone(), self.around.causes.clone());
        // Every line of the runner tells what it is part of.
        let span = tracing::info_span!("runner", instance = %load.instance_id, rank = load.shard.device_rank);
        self.runners.insert(runner_id.clone(), Supervised::new(life, load, losses, liveness));
        self.tasks.spawn(
            async move {
                let spawned = host.start(what).await;
                // Without a driver the process is dropped, which ends it.
                let _ = causes.send(Cause::Spawned(runner_id, life, spawned)).await;
            }
            .instrument(span),
        );
    }

    fn connect_runner(&mut self, runner_id: &RunnerId, order: ConnectOrder, state: &State) {
        let incarnation = order.incarnation;
        let address = |peer: &PeerRank| RankAddress {
            rank: peer.rank,
            endpoint: self.endpoint(peer, state),
            incarnation: peer.incarnation,
        };
        let message = Connect { incarnation, peers: order.peers.iter().map(address).collect() };
        let Some(local) = self.around.local.runners.get_mut(runner_id) else { return };
        local.told_to_connect = Some(order);
        if let RunnerStatus::RunnerLoaded { tensor_endpoint, incarnation: current } = &local.status
            && *current == incarnation
        {
            let tensor_endpoint = tensor_endpoint.clone();
            local.status = RunnerStatus::RunnerConnecting { tensor_endpoint, incarnation };
            local.since = now();
        }
        self.send(runner_id, HostMessage::Connect(message));
        self.plan_soon();
    }

    /// Where this node reaches another rank: at the address that it measured, if it did, else as it was told.
    fn endpoint(&self, peer: &PeerRank, state: &State) -> String {
        let told = peer.endpoint.parse::<SocketAddr>();
        let measured = match state.node_address(&self.around.local.node_id, &peer.node_id) {
            Some(NodeAddress::Measured(address)) => address.parse::<IpAddr>().ok(),
            Some(NodeAddress::Told(_)) | None => None,
        };
        match (told, measured) {
            (Ok(told), Some(address)) => SocketAddr::new(address, told.port()).to_string(),
            _ => peer.endpoint.clone(),
        }
    }

    fn stop_runner(&mut self, runner_id: &RunnerId, instance_id: &InstanceId) {
        let message = format!("instance {instance_id} was taken away while it answered");
        self.answers.end_of_runner(runner_id, &ErrorChunk { code: ErrorCode::NotReady, message });
        match self.runners.get_mut(runner_id) {
            Some(supervised) => {
                tracing::info!(instance = %instance_id, runner = %runner_id, "a runner is stopped");
                supervised.shut_down(now() + END_GRACE);
                self.set_status(runner_id, RunnerStatus::RunnerShuttingDown);
            }
            None => {
                self.around.local.runners.remove(runner_id);
            }
        }
    }
}

/// What a runner needs for this load: the files of its model, and a port where there are other ranks.
fn confinement(load: &Load, reads: Vec<PathBuf>) -> Confinement {
    let network = match &load.links {
        Some(links) => NetworkUse::Links { ports: links.ports },
        None => NetworkUse::None,
    };
    Confinement { reads, network }
}
