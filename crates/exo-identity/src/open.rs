//! How a process comes to its identity: finds it, is let into a cluster, or begins one.

use crate::admission::{AdmissionReply, AdmissionRequest};
use crate::current::Current;
use crate::error::IdentityError;
use crate::identity::{Identity, founded};
use crate::join::ask;
use crate::name::{PeerName, is_namespace};
use crate::parts::IdentityParts;
use crate::store::IdentityStore;
use crate::token::JoinToken;
use exo_types::NodeId;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longer than a process takes to be let in.
const LOCK: Duration = Duration::from_secs(60);

/// What a process knows when it starts.
#[derive(Debug, Clone)]
pub struct Opening<'a> {
    /// Who it is.
    pub node_id: NodeId,
    /// As configured.
    pub namespace: &'a str,
    /// Whether this node has a master, which admits others.
    pub wants_authority: bool,
    /// What it may come in with.
    pub token: Option<&'a JoinToken>,
    /// `host:port` of masters that may renew an expired certificate, besides those of the token.
    pub masters: &'a [String],
    /// Entries of the data directory that belong to one cluster, and go with it.
    pub set_aside: &'a [&'a str],
    /// How long masters are asked that do not answer, or cannot decide.
    pub patience: Duration,
    /// The time.
    pub now: SystemTime,
}

/// How it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// It was there.
    Found,
    /// It was there, and got a new certificate.
    Renewed,
    /// This node began a cluster of its own.
    Founded,
    /// This node was let in.
    Joined {
        /// What the node had in another cluster.
        archived: Option<PathBuf>,
    },
}

impl Identity {
    /// Opens the identity of a node; blocks for seconds if a master has to be asked.
    pub fn open(store: &IdentityStore, opening: &Opening<'_>) -> Result<(Self, Opened), IdentityError> {
        check_namespace(opening)?;
        let _lock = store.lock(LOCK)?;
        store.recover()?;
        let Some(parts) = store.load()? else {
            return match opening.token {
                Some(token) => join(store, opening, token, None),
                None => found(store, opening),
            };
        };
        let identity = Self::from_parts(&parts).map_err(|error| store.damaged("node.crt", error.to_string()))?;
        identity.set_members(store.members());
        let ours = identity.current().facts.name.clone();
        if ours.node_id != opening.node_id {
            let reason = format!("it is of node {}, and this is node {}", ours.node_id, opening.node_id);
            return Err(store.damaged("node.crt", reason));
        }
        match opening.token {
            Some(token) if token.cluster() != ours.cluster => move_over(store, opening, token, &identity),
            _ => refresh(store, opening, identity),
        }
    }

    /// Is let in with a token, whatever this node belonged to before, and with a new key.
    pub fn join(
        store: &IdentityStore,
        opening: &Opening<'_>,
        token: &JoinToken,
    ) -> Result<(Self, Opened), IdentityError> {
        check_namespace(opening)?;
        let _lock = store.lock(LOCK)?;
        store.recover()?;
        // A damaged identity is a reason to come here.
        let before = store.load().ok().flatten().and_then(|parts| Current::new(&parts).ok());
        join(store, opening, token, before.map(|before| before.facts.name))
    }

    /// Looks whether another process of this node renewed the certificate, and takes it into use.
    pub fn reload(&self, store: &IdentityStore) -> Result<bool, IdentityError> {
        match store.load()? {
            Some(parts) if parts != self.parts() => {
                self.replace(&parts).map_err(|error| store.damaged("node.crt", error.to_string()))?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Takes a renewed certificate into use, here and on the disk.
    pub fn renew(&self, store: &IdentityStore, reply: AdmissionReply) -> Result<(), IdentityError> {
        let parts = self.renewed(reply)?;
        store.save(&parts)?;
        Ok(self.replace(&parts)?)
    }

    /// Renews the certificate with the authority's key that this node has.
    pub fn renew_here(&self, store: &IdentityStore, now: SystemTime) -> Result<(), IdentityError> {
        let parts = self.reissued(&self.namespace(), now)?;
        store.save(&parts)?;
        Ok(self.replace(&parts)?)
    }
}

fn check_namespace(opening: &Opening<'_>) -> Result<(), IdentityError> {
    match is_namespace(opening.namespace) {
        true => Ok(()),
        false => Err(IdentityError::Namespace(opening.namespace.to_owned())),
    }
}

fn found(store: &IdentityStore, opening: &Opening<'_>) -> Result<(Identity, Opened), IdentityError> {
    let parts = founded(opening.node_id.clone(), opening.namespace, opening.now)?;
    let identity = Identity::from_parts(&parts)?;
    store.establish(&parts, &[], &[], "")?;
    Ok((identity, Opened::Founded))
}

/// A node that was alone goes where its token leads; one that others belong to does so only when it is told to.
fn move_over(
    store: &IdentityStore,
    opening: &Opening<'_>,
    token: &JoinToken,
    identity: &Identity,
) -> Result<(Identity, Opened), IdentityError> {
    let ours = identity.current().facts.name.clone();
    if !identity.has_authority() || identity.members().has_others(&opening.node_id) {
        return Err(IdentityError::OtherCluster { ours: ours.cluster.short(), theirs: token.cluster().short() });
    }
    join(store, opening, token, Some(ours))
}

fn join(
    store: &IdentityStore,
    opening: &Opening<'_>,
    token: &JoinToken,
    before: Option<PeerName>,
) -> Result<(Identity, Opened), IdentityError> {
    let key = store.draft_key()?;
    let (node_id, namespace) = (&opening.node_id, opening.namespace);
    let request = AdmissionRequest::with_token(&key, node_id, namespace, opening.wants_authority, token)?;
    let (reply, asked) = ask(token.cluster(), token.addresses(), &request, opening.patience)?;
    let name = PeerName { cluster: token.cluster(), namespace: namespace.to_owned(), node_id: node_id.clone() };
    let parts = reply.into_parts(&key, &name)?;
    let identity = Identity::from_parts(&parts)?;
    let seconds = opening.now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let label = before.map_or_else(|| "damaged".to_owned(), |before| before.cluster.short());
    let masters = with_first(asked, token.addresses());
    let archived = store.establish(&parts, &masters, opening.set_aside, &format!("cluster-{label}-{seconds}"))?;
    Ok((identity, Opened::Joined { archived }))
}

fn with_first(first: String, others: &[String]) -> Vec<String> {
    let mut all = vec![first];
    all.extend(others.iter().filter(|other| **other != all[0]).cloned().collect::<Vec<_>>());
    all
}

/// Sees to it that the certificate can be used now.
fn refresh(
    store: &IdentityStore,
    opening: &Opening<'_>,
    identity: Identity,
) -> Result<(Identity, Opened), IdentityError> {
    let current = identity.current();
    let is_due = opening.now >= current.renew_at();
    let ours = &current.facts.name;
    let reason = if !current.is_valid(opening.now) {
        "it is not valid at this machine's time".to_owned()
    } else if ours.namespace != opening.namespace {
        format!("it is for namespace {}, and networking.namespace is {}", ours.namespace, opening.namespace)
    } else if opening.wants_authority && current.authority.is_none() {
        "this node has a master now, and needs the cluster's key".to_owned()
    } else if is_due && current.authority.is_some() {
        "it is due".to_owned()
    } else {
        return Ok((identity, Opened::Found));
    };
    let parts = match &current.authority {
        Some(_) => identity.reissued(opening.namespace, opening.now)?,
        None => renew_elsewhere(store, opening, &identity).map_err(|attempt| lapsed(reason, &attempt))?,
    };
    store.save(&parts)?;
    identity.replace(&parts)?;
    Ok((identity, Opened::Renewed))
}

fn lapsed(reason: String, attempt: &IdentityError) -> IdentityError {
    IdentityError::Lapsed { reason, attempt: attempt.to_string() }
}

fn renew_elsewhere(
    store: &IdentityStore,
    opening: &Opening<'_>,
    identity: &Identity,
) -> Result<IdentityParts, IdentityError> {
    let request = AdmissionRequest::renewal(identity, opening.namespace, opening.wants_authority)?;
    let mut masters = store.masters();
    masters.extend(opening.masters.iter().cloned());
    let (reply, _) = ask(identity.cluster(), &masters, &request, opening.patience)?;
    Ok(identity.renewed(reply)?)
}

/// Reads the token out of a file: one line.
pub fn read_token(path: &std::path::Path) -> Result<JoinToken, crate::TokenError> {
    use std::io::Read;
    let failed = |error: std::io::Error| crate::TokenError::File { path: path.to_owned(), error: error.to_string() };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(crate::token::TOKEN_LIMIT as u64 + 64).read_to_string(&mut text).map_err(failed)?;
    text.parse()
}
