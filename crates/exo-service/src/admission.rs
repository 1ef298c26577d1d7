//! How a process comes to its identity, and keeps it.

use crate::paths::Place;
use exo_bus::{Bus, topics};
use exo_config::{Config, Mode};
use exo_identity::{
    AdmissionReply, AdmissionRequest, Identity, IdentityError, IdentityStore, JoinToken, Members, Opened, Opening,
    TokenError, read_token,
};
use exo_node::{DataDir, NodeHandle, Role, View};
use exo_state::State;
use exo_types::{Blob, Command, KeyFingerprint, NodeId};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a new node waits for a master that can let it in.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether the certificate wants to be renewed: often enough beside twenty days.
const LOOK: Duration = Duration::from_secs(600);
/// Never more often, not even with a certificate that is about to end.
const LOOK_LEAST: Duration = Duration::from_secs(5);
/// Between two tries to be written down in a State that does not know this node.
const WORD: Duration = Duration::from_secs(10);
/// One try to have it renewed.
const RENEWAL: Duration = Duration::from_secs(10);
/// What belongs to one cluster in the data directory, besides the identity.
pub const OF_ONE_CLUSTER: &[&str] = &["master"];

/// Opens the identity of this node: finds it, is let in with the configured token, or begins a cluster.
pub(crate) fn open_identity(config: &Config, role: Role, data_dir: &DataDir) -> Result<Identity, IdentityError> {
    let store = IdentityStore::new(data_dir.path());
    let file = config.security.join_token_file.clone().or_else(|| Place::here().credential("join-token"));
    let token = token(file, &store)?;
    let opening = opening(config, role, data_dir.node_id().clone(), token.as_ref());
    let (identity, opened) = Identity::open(&store, &opening)?;
    tell(&identity, &opened);
    Ok(identity)
}

/// What a process of this node knows when it opens its identity.
pub fn opening<'a>(config: &'a Config, role: Role, node_id: NodeId, token: Option<&'a JoinToken>) -> Opening<'a> {
    Opening {
        node_id,
        namespace: &config.networking.namespace,
        wants_authority: role.roles().master || config.mode != Mode::Worker,
        token,
        masters: &config.networking.peers,
        set_aside: OF_ONE_CLUSTER,
        patience: PATIENCE,
        now: SystemTime::now(),
    }
}

/// A token is needed once: later its file may be gone.
fn token(file: Option<PathBuf>, store: &IdentityStore) -> Result<Option<JoinToken>, TokenError> {
    let Some(file) = file else { return Ok(None) };
    match read_token(&file) {
        Ok(token) => Ok(Some(token)),
        Err(error) if store.directory().exists() => {
            tracing::info!("{error}; this node was let in before and does not need it");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn tell(identity: &Identity, opened: &Opened) {
    let (cluster, key) = (identity.cluster().short(), identity.key_fingerprint().short());
    match opened {
        Opened::Found => tracing::debug!(cluster, key, "the identity is read"),
        Opened::Renewed => tracing::info!(cluster, key, "the certificate is renewed"),
        Opened::Founded => tracing::info!(cluster, key, "this node begins a cluster of its own"),
        Opened::Joined { archived: None } => tracing::info!(cluster, key, "this node was let into the cluster"),
        Opened::Joined { archived: Some(archive) } => {
            let archive = archive.display();
            tracing::warn!(cluster, key, %archive, "this node has moved to another cluster; what it had is in the archive");
        }
    }
}

/// Keeps the identity of this process: follows who was admitted and revoked, and renews the certificate in time; SIGHUP
/// has it look at once.
pub(crate) async fn keep_identity(
    identity: Identity,
    data_dir: Arc<DataDir>,
    bus: Bus,
    node: NodeHandle,
    stop: CancellationToken,
) {
    let store = IdentityStore::new(data_dir.path());
    let mut view = node.view();
    let (mut next_look, mut next_word) = (Instant::now() + pause(identity.not_after()), Instant::now());
    let hangup = signal(SignalKind::hangup());
    let mut hangup = hangup.inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be caught")).ok();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = asked_for(&mut hangup) => {
                tracing::info!("SIGHUP: looking after the certificate");
                next_look = Instant::now();
            }
            () = tokio::time::sleep_until(next_look) => {
                let latest = view.borrow().clone();
                look(&identity, &store, &bus, &latest).await;
                next_look = Instant::now() + pause(identity.not_after());
            }
            changed = view.changed() => {
                if changed.is_err() {
                    return;
                }
                let latest = view.borrow_and_update().clone();
                if latest.is_joined() {
                    follow(&identity, &store, &latest.state);
                }
                if latest.leader.is_some() && latest.is_joined() && Instant::now() >= next_word {
                    next_word = Instant::now() + WORD;
                    introduce(&identity, &node, &latest.state).await;
                }
            }
        }
    }
}

/// How long to wait before the next look: there is time for several tries before the certificate ends, also for a
/// machine that slept through most of its time.
fn pause(not_after: SystemTime) -> Duration {
    let left = not_after.duration_since(SystemTime::now()).unwrap_or_default();
    (left / 3).clamp(LOOK_LEAST, LOOK)
}

/// Somebody asks by a signal.
async fn asked_for(signal: &mut Option<Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending().await
    }
}

/// Takes in who belongs to the cluster.
fn follow(identity: &Identity, store: &IdentityStore, state: &State) {
    let mut members = members_of(state);
    // A session that lost against another took its revocations with it; a key that was thrown out stays out.
    members.revoked.extend(identity.members().revoked.iter().map(|(key, node)| (*key, node.clone())));
    if identity.set_members(members.clone())
        && let Err(error) = store.save_members(&members)
    {
        tracing::warn!(%error, "who was revoked is not saved, and will be asked for again after a restart");
    }
}

/// The first node of a cluster is nowhere written down; nor is one whose admission a lost session took with it.
async fn introduce(identity: &Identity, node: &NodeHandle, state: &State) {
    let (own, key) = (node.node_id(), identity.key_fingerprint().to_string());
    let known = state.identity.admitted.get(own).is_some_and(|known| known.as_str() == key);
    let revoked = state.identity.revoked.keys().any(|revoked| revoked.as_str() == key);
    let Ok(key_fingerprint) = KeyFingerprint::new(key) else { return };
    if known || revoked {
        return;
    }
    let command = Command::AdmitNode { node_id: own.clone(), key_fingerprint, token: None };
    match node.commands().send(command, RENEWAL).await {
        Ok(_) => tracing::debug!("this node is written down in the State"),
        Err(error) => tracing::debug!(%error, "this node is not written down in the State yet"),
    }
}

/// The State's words, in those of TLS. Keys that make no sense were never admitted by anybody.
fn members_of(state: &State) -> Members {
    let key = |text: &str| text.parse().ok();
    let admitted = state.identity.admitted.iter().filter_map(|(node, of)| Some((node.clone(), key(of.as_str())?)));
    let revoked = state.identity.revoked.iter().filter_map(|(of, node)| Some((key(of.as_str())?, node.clone())));
    Members { admitted: admitted.collect(), revoked: revoked.collect() }
}

/// Renews the certificate if it is time, or takes up what another process of this node renewed.
async fn look(identity: &Identity, store: &IdentityStore, bus: &Bus, view: &View) {
    match identity.reload(store) {
        Ok(true) => return tracing::info!("the certificate was renewed by another process of this node"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "the identity on the disk cannot be read; the one in use goes on"),
    }
    if SystemTime::now() < identity.renew_at() {
        return;
    }
    match renew(identity, store, bus, view).await {
        Ok(()) => tracing::info!("the certificate is renewed"),
        Err(reason) => {
            let until = identity.not_after().duration_since(SystemTime::now()).unwrap_or_default();
            let days = until.as_secs() / (24 * 3600);
            tracing::warn!(reason, "the certificate could not be renewed; it ends in {days} days. It is tried again");
        }
    }
}

async fn renew(identity: &Identity, store: &IdentityStore, bus: &Bus, view: &View) -> Result<(), String> {
    if identity.has_authority() {
        return identity.renew_here(store, SystemTime::now()).map_err(|error| error.to_string());
    }
    let leader = view.leader.as_ref().ok_or("there is no master now")?;
    let request = AdmissionRequest::renewal(identity, &identity.namespace(), false);
    let request = request.and_then(|request| request.encode()).map_err(|error| error.to_string())?;
    let answer =
        bus.request(topics::RENEW, leader, &Blob(request), RENEWAL).await.map_err(|error| error.to_string())?;
    let reply = AdmissionReply::decode(&answer.0).map_err(|error| error.to_string())?;
    identity.renew(store, reply).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
