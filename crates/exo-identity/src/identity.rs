//! The identity that all parts of a process share.

use crate::admission::AdmissionReply;
use crate::agreement::SharedKeys;
use crate::authority::Authority;
use crate::certificate::Facts;
use crate::current::Current;
use crate::desk::Desk;
use crate::error::{CryptoError, PeerRefused};
use crate::fingerprint::Fingerprint;
use crate::key::{Key, PublicKey};
use crate::members::Members;
use crate::name::PeerName;
use crate::parts::{IdentityParts, RunnerIdentity};
use exo_types::NodeId;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;
use tokio::sync::watch;

/// Who this node is. Cheap to clone; a renewal and a revocation reach every clone, and every TLS configuration that was
/// made of it, at once.
#[derive(Clone)]
pub struct Identity {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    current: RwLock<Arc<Current>>,
    members: RwLock<Arc<Members>>,
    changes: watch::Sender<u64>,
    desk: Desk,
}

impl Identity {
    /// From its parts, which are checked against each other. The certificate may have expired.
    pub fn from_parts(parts: &IdentityParts) -> Result<Self, CryptoError> {
        let shared = Shared {
            current: RwLock::new(Arc::new(Current::new(parts)?)),
            members: RwLock::default(),
            changes: watch::Sender::new(0),
            desk: Desk::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Begins a cluster: a new authority, and its first node.
    pub fn found(node_id: NodeId, namespace: &str, now: SystemTime) -> Result<Self, CryptoError> {
        Self::from_parts(&founded(node_id, namespace, now)?)
    }

    /// Key and certificate for another node of this cluster, made here: for nodes that somebody sets up as a whole.
    pub fn vouch(&self, node_id: NodeId, now: SystemTime) -> Result<IdentityParts, CryptoError> {
        let current = self.current();
        let key = Key::generate()?;
        let name = PeerName { node_id, ..current.facts.name.clone() };
        let certificate = self.sign(&key.public(), &name, now)?;
        Ok(IdentityParts {
            key: key.to_pkcs8(),
            certificate: certificate.to_vec(),
            authority: current.authority_certificate.to_vec(),
            authority_key: None,
        })
    }

    /// The node.
    pub fn node_id(&self) -> NodeId {
        self.current().facts.name.node_id.clone()
    }

    /// The namespace that the certificate is for.
    pub fn namespace(&self) -> String {
        self.current().facts.name.namespace.clone()
    }

    /// Names the cluster: the fingerprint of its authority.
    pub fn cluster(&self) -> Fingerprint {
        self.current().facts.name.cluster
    }

    /// What the certificate says.
    pub fn facts(&self) -> Facts {
        self.current().facts.clone()
    }

    /// Signs with this node's key; [`PublicKey::has_signed`] checks it. Sign digests that say what they are for.
    pub fn sign_message(&self, digest: &[u8; 32]) -> Result<Vec<u8>, CryptoError> {
        self.current().key.sign(digest)
    }

    /// The keys that this node shares with the owner of another key, or with itself, for that purpose alone. Fails if the
    /// other key is no good one.
    pub fn agree(&self, with: &PublicKey, purpose: &str) -> Result<SharedKeys, CryptoError> {
        SharedKeys::agree(&self.current().key, with, purpose.as_bytes())
    }

    /// Names this node's key.
    pub fn key_fingerprint(&self) -> Fingerprint {
        self.current().facts.key_fingerprint()
    }

    /// When the certificate ends.
    pub fn not_after(&self) -> SystemTime {
        self.current().facts.not_after
    }

    /// When it wants to be renewed: after two thirds of its time.
    pub fn renew_at(&self) -> SystemTime {
        self.current().renew_at()
    }

    /// Whether this node can admit others.
    pub fn has_authority(&self) -> bool {
        self.current().authority.is_some()
    }

    /// Everything, for the disk.
    pub fn parts(&self) -> IdentityParts {
        self.current().to_parts()
    }

    /// What a runner of this node needs for its links.
    pub fn for_runner(&self) -> RunnerIdentity {
        let parts = IdentityParts { authority_key: None, ..self.parts() };
        RunnerIdentity { parts, members: (*self.members()).clone() }
    }

    /// The identity in a runner.
    pub fn of_runner(handed_over: &RunnerIdentity) -> Result<Self, CryptoError> {
        let identity = Self::from_parts(&handed_over.parts)?;
        identity.set_members(handed_over.members.clone());
        Ok(identity)
    }

    /// What the node tells its runner anew: who was thrown out, and the certificate that later links show.
    pub fn follow_node(&self, handed_over: &RunnerIdentity) -> Result<(), CryptoError> {
        self.set_members(handed_over.members.clone());
        self.replace(&handed_over.parts)
    }

    /// The members that were told last.
    pub fn members(&self) -> Arc<Members> {
        self.shared.members.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in who belongs to the cluster; true if that is news. Links of nodes that were thrown out close at once.
    pub fn set_members(&self, members: Members) -> bool {
        let mut held = self.shared.members.write().unwrap_or_else(PoisonError::into_inner);
        if **held == members {
            return false;
        }
        *held = Arc::new(members);
        drop(held);
        self.tell();
        true
    }

    /// Changes with every renewal and every news of members.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Where nodes ask to be let in.
    pub fn desk(&self) -> &Desk {
        &self.shared.desk
    }

    /// Takes a renewed certificate, or other parts, into use. Links that are there stay; new ones show the new certificate.
    pub fn replace(&self, parts: &IdentityParts) -> Result<(), CryptoError> {
        let current = Current::new(parts)?;
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
        self.tell();
        Ok(())
    }

    /// Whether a certificate is one of ours, now: authority, time, namespace, members.
    pub fn check(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<Facts, PeerRefused> {
        let current = self.current();
        let facts = Facts::checked(certificate, &current.roots, now)?;
        self.check_facts(&facts)?;
        Ok(facts)
    }

    /// What can change about a certificate that was good: its members, and our namespace.
    pub fn check_facts(&self, facts: &Facts) -> Result<(), PeerRefused> {
        let ours = &self.current().facts.name;
        if facts.name.cluster != ours.cluster {
            return Err(PeerRefused::OtherCluster);
        }
        if facts.name.namespace != ours.namespace {
            let theirs = facts.name.namespace.clone();
            return Err(PeerRefused::Namespace { theirs, ours: ours.namespace.clone() });
        }
        self.members().check(facts)
    }

    pub(crate) fn sign(
        &self,
        public_key: &PublicKey,
        name: &PeerName,
        now: SystemTime,
    ) -> Result<CertificateDer<'static>, CryptoError> {
        let missing = || CryptoError {
            action: "sign a certificate",
            reason: "this node does not have the authority's key".to_owned(),
        };
        self.current().authority.as_ref().ok_or_else(missing)?.issue(public_key, name, now)
    }

    /// A certificate for this node's own key, made here.
    pub(crate) fn reissued(&self, namespace: &str, now: SystemTime) -> Result<IdentityParts, CryptoError> {
        let current = self.current();
        let name = PeerName { namespace: namespace.to_owned(), ..current.facts.name.clone() };
        let certificate = self.sign(&current.key.public(), &name, now)?;
        Ok(IdentityParts { certificate: certificate.to_vec(), ..current.to_parts() })
    }

    /// Renews the certificate with what a master answered to [`AdmissionRequest::renewal`](crate::AdmissionRequest).
    pub fn renewed(&self, reply: AdmissionReply) -> Result<IdentityParts, crate::JoinError> {
        let current = self.current();
        let parts = reply.into_parts(&current.key, &current.facts.name)?;
        // A master that is asked again keeps the authority's key.
        let authority_key = parts.authority_key.or_else(|| current.to_parts().authority_key);
        Ok(IdentityParts { authority_key, ..parts })
    }

    pub(crate) fn current(&self) -> Arc<Current> {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self) {
        self.shared.changes.send_modify(|count| *count += 1);
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current();
        write!(f, "Identity({}, key {:?})", current.facts.name, current.facts.key_fingerprint())
    }
}

pub(crate) fn founded(node_id: NodeId, namespace: &str, now: SystemTime) -> Result<IdentityParts, CryptoError> {
    let authority = Authority::found(now)?;
    let key = Key::generate()?;
    let name = PeerName { cluster: authority.cluster(), namespace: namespace.to_owned(), node_id };
    let certificate = authority.issue(&key.public(), &name, now)?;
    Ok(IdentityParts {
        key: key.to_pkcs8(),
        certificate: certificate.to_vec(),
        authority: authority.certificate().to_vec(),
        authority_key: Some(authority.key().to_pkcs8()),
    })
}
