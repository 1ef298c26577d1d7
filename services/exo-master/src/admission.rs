//! Lets nodes in, and renews their certificates: the desk of a master.
//!
//! Any master can: it has the authority's key. What two masters must not decide differently, that a one-time token lets
//! one node in and that a name belongs to one key, is decided by the log; the certificate is signed after that.

use exo_bus::{Bus, BusError, Incoming, RecvError, Requests, topics};
use exo_identity::{AdmissionRefused, AdmissionReply, Approved, Identity, RefusalKind, TokenStanding, Visit};
use exo_node::{NodeHandle, View};
use exo_state::State;
use exo_types::{Blob, Command, CommandReply, JoinTokenId, KeyFingerprint, RefusalCode};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The log has to take it by then; the asker comes again otherwise.
const RECORD: Duration = Duration::from_secs(6);

/// The desk of a master's process; closed when it is dropped.
#[derive(Debug)]
pub struct AdmissionDesk {
    #[expect(dead_code, reason = "held for its task")]
    clerk: JoinSet<()>,
}

impl AdmissionDesk {
    /// Opens it.
    pub async fn open(identity: Identity, bus: &Bus, node: NodeHandle) -> Result<Self, BusError> {
        let renewals = bus.serve(topics::RENEW).await?;
        let visits = identity.desk().open();
        let mut clerk = JoinSet::new();
        clerk.spawn(serve(identity, bus.clone(), node, visits, renewals));
        Ok(Self { clerk })
    }
}

/// One after the other: the log would put them into an order anyway.
async fn serve(
    identity: Identity,
    bus: Bus,
    node: NodeHandle,
    mut visits: mpsc::Receiver<Visit>,
    mut renewals: Requests<Blob, Blob>,
) {
    loop {
        tokio::select! {
            biased;
            renewal = renewals.recv() => match renewal {
                Ok(renewal) => answer_renewal(&identity, &bus, &node, renewal).await,
                Err(RecvError::Closed) => return,
                Err(error) => tracing::warn!(%error, "a wish for a certificate cannot be read"),
            },
            Some(visit) = visits.recv() => answer_visit(&identity, &node, visit).await,
        }
    }
}

async fn answer_visit(identity: &Identity, node: &NodeHandle, visit: Visit) {
    if let Some(reply) = decide(identity, node, &visit.request).await {
        visit.answer(reply);
    }
}

async fn answer_renewal(identity: &Identity, bus: &Bus, node: &NodeHandle, renewal: Incoming<Blob, Blob>) {
    let reply = decide(identity, node, &renewal.request.0).await;
    // The link counts what a visitor of the desk is refused; this one comes over the bus.
    if let Some(Ok(AdmissionReply::Refused(refused))) = reply.as_deref().map(AdmissionReply::decode) {
        bus.count_refusal(refused.kind.counter());
    }
    let told = match reply {
        Some(reply) => renewal.reply(&Blob(reply)),
        None => return renewal.refuse("the certificate could not be signed; see the master's log"),
    };
    if let Err(error) = told {
        tracing::warn!(%error, "a certificate could not be sent; it is asked for again");
    }
}

/// The answer in bytes; none if it cannot be made, which is a defect.
async fn decide(identity: &Identity, node: &NodeHandle, request: &[u8]) -> Option<Vec<u8>> {
    let reply = match admit(identity, node, request).await {
        Ok(approved) => approved.grant(identity, SystemTime::now()),
        Err(refused) => {
            tracing::info!(kind = refused.kind.counter(), "a node is not let in: {refused}");
            Ok(AdmissionReply::Refused(refused))
        }
    };
    let reply = reply.and_then(|reply| reply.encode());
    reply.inspect_err(|error| tracing::error!(%error, "a certificate cannot be signed")).ok()
}

async fn admit(identity: &Identity, node: &NodeHandle, request: &[u8]) -> Result<Approved, AdmissionRefused> {
    let view = node.view().borrow().clone();
    if !view.is_joined() {
        return Err(later("this master has not found its cluster yet"));
    }
    if !identity.has_authority() {
        let message = "this master does not have the cluster's key; ask another one";
        return Err(AdmissionRefused::new(RefusalKind::NotAMaster, message));
    }
    let approved = Approved::check(identity, request, SystemTime::now(), |id| standing(&view.state, id))?;
    if approved.token().is_some() || !is_known(&view, &approved) {
        record(node, &view, &approved).await?;
        let node_id = approved.node_id();
        tracing::info!(node = %node_id, key = approved.key_fingerprint().short(), "a node is let in");
    }
    Ok(approved)
}

fn is_known(view: &View, approved: &Approved) -> bool {
    let known = view.state.identity.admitted.get(approved.node_id());
    known.is_some_and(|known| known.as_str() == approved.key_fingerprint().to_string())
}

fn standing(state: &State, id: &JoinTokenId) -> Option<TokenStanding> {
    let known = state.identity.join_tokens.get(id)?;
    let expires = known.token.expires.map(|expires| SystemTime::UNIX_EPOCH + Duration::from_millis(expires.0));
    let taken_by = known.used_by.first().filter(|_| !known.token.reusable).cloned();
    Some(TokenStanding { verifier: known.token.public_key.clone(), expires, taken_by })
}

/// Has the log take it.
async fn record(node: &NodeHandle, view: &View, approved: &Approved) -> Result<(), AdmissionRefused> {
    let fingerprint = approved.key_fingerprint().to_string();
    let key_fingerprint = KeyFingerprint::new(fingerprint.clone()).map_err(|error| later(&error.to_string()))?;
    let (node_id, token) = (approved.node_id().clone(), approved.token().cloned());
    let command = Command::AdmitNode { node_id, key_fingerprint, token };
    match node.commands().send(command, RECORD).await {
        Ok(CommandReply::Accepted { .. }) => Ok(()),
        Ok(CommandReply::Refused(refusal)) => {
            let is_taken = view.state.identity.admitted.contains_key(approved.node_id());
            let is_out = view.state.identity.revoked.keys().any(|key| key.as_str() == fingerprint);
            let kind = match refusal.code {
                RefusalCode::Forbidden if is_out => RefusalKind::Revoked,
                RefusalCode::Forbidden | RefusalCode::Invalid if is_taken => RefusalKind::NameTaken,
                RefusalCode::Forbidden | RefusalCode::Invalid => RefusalKind::UsedToken,
                RefusalCode::NotFound => RefusalKind::UnknownToken,
                _ => RefusalKind::Later,
            };
            Err(AdmissionRefused::new(kind, refusal.message))
        }
        Err(error) => Err(later(&error.to_string())),
    }
}

fn later(reason: &str) -> AdmissionRefused {
    AdmissionRefused::new(RefusalKind::Later, format!("not now ({reason}); ask again"))
}
