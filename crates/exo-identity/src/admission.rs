//! What a node that wants to be let in, or wants a new certificate, and a master tell each other. Sans-IO.
//!
//! A request is signed by the node's key, over the cluster that it means; a new node adds a proof that it has a join
//! token, a known one its old certificate. Neither can be used for another key by who passes it on.

use crate::certificate::Facts;
use crate::error::{CryptoError, JoinError, PeerRefused};
use crate::fingerprint::Fingerprint;
use crate::identity::Identity;
use crate::key::{Key, PublicKey};
use crate::name::{PeerName, is_namespace};
use crate::parts::IdentityParts;
use crate::token::{JoinToken, TokenVerifier};
use exo_types::{JoinTokenId, NodeId, unpack};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::SystemTime;

/// Largest request or reply in bytes.
pub const ADMISSION_LIMIT: usize = 16 << 10;
/// What the signatures are over begins with this, so that none of them means anything elsewhere.
const CONTEXT: &[u8] = b"exo admission 1\0";

/// A node asks for a certificate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionRequest {
    /// A [`Wish`] in bytes: what is signed.
    wish: Vec<u8>,
    /// By the node's key.
    signature: Vec<u8>,
    /// By the token.
    #[serde(default)]
    proof: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wish {
    cluster: Fingerprint,
    namespace: String,
    node_id: NodeId,
    public_key: Vec<u8>,
    /// Whether it is going to have a master, which admits others.
    wants_authority: bool,
    #[serde(default)]
    token: Option<JoinTokenId>,
    #[serde(default)]
    certificate: Option<Vec<u8>>,
}

fn signed(wish: &[u8]) -> Vec<u8> {
    [CONTEXT, wish].concat()
}

impl AdmissionRequest {
    /// Of a node that has a token.
    pub fn with_token(
        key: &Key,
        node_id: &NodeId,
        namespace: &str,
        wants_authority: bool,
        token: &JoinToken,
    ) -> Result<Self, CryptoError> {
        let wish = Wish {
            cluster: token.cluster(),
            namespace: namespace.to_owned(),
            node_id: node_id.clone(),
            public_key: key.public().as_bytes().to_vec(),
            wants_authority,
            token: Some(token.id()),
            certificate: None,
        };
        let request = Self::sign(&wish, key)?;
        let proof = token.prove(&signed(&request.wish))?;
        Ok(Self { proof: Some(proof), ..request })
    }

    /// Of a node that has a certificate, and wants one for a longer time, or for another namespace.
    pub fn renewal(identity: &Identity, namespace: &str, wants_authority: bool) -> Result<Self, CryptoError> {
        let current = identity.current();
        let wish = Wish {
            cluster: current.facts.name.cluster,
            namespace: namespace.to_owned(),
            node_id: current.facts.name.node_id.clone(),
            public_key: current.facts.public_key.as_bytes().to_vec(),
            wants_authority,
            token: None,
            certificate: Some(current.certificate.to_vec()),
        };
        Self::sign(&wish, &current.key)
    }

    fn sign(wish: &Wish, key: &Key) -> Result<Self, CryptoError> {
        let wish = rmp_serde::to_vec_named(wish).map_err(CryptoError::new("write a request"))?;
        let signature = key.sign(&signed(&wish))?;
        Ok(Self { wish, signature, proof: None })
    }

    /// In bytes.
    pub fn encode(&self) -> Result<Vec<u8>, CryptoError> {
        rmp_serde::to_vec_named(self).map_err(CryptoError::new("write a request"))
    }
}

impl fmt::Debug for AdmissionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdmissionRequest({} bytes)", self.wish.len())
    }
}

/// Why a node is not let in, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The request makes no sense.
    Unreadable,
    /// It is meant for another cluster.
    OtherCluster,
    /// It is meant for another namespace.
    OtherNamespace,
    /// Nobody knows such a token.
    UnknownToken,
    /// The token's time is over.
    ExpiredToken,
    /// The token let another node in.
    UsedToken,
    /// The token's name is right, its secret is not.
    ForgedToken,
    /// The node was thrown out.
    Revoked,
    /// The node's name is taken, by another key.
    NameTaken,
    /// This process cannot admit anybody; another one can.
    NotAMaster,
    /// Not now: there is no leader, or too much is going on.
    Later,
    /// From a newer version.
    #[serde(other)]
    Other,
}

impl RefusalKind {
    /// Whether another master, or another time, may answer otherwise.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::NotAMaster | Self::Later)
    }

    /// How refusals of this kind are counted.
    pub fn counter(self) -> &'static str {
        match self {
            Self::Unreadable => "join_unreadable",
            Self::OtherCluster => "join_other_cluster",
            Self::OtherNamespace => "join_other_namespace",
            Self::UnknownToken => "join_unknown_token",
            Self::ExpiredToken => "join_expired_token",
            Self::UsedToken => "join_used_token",
            Self::ForgedToken => "join_forged_token",
            Self::Revoked => "join_revoked",
            Self::NameTaken => "join_name_taken",
            Self::NotAMaster => "join_not_a_master",
            Self::Later => "join_later",
            Self::Other => "join_other",
        }
    }
}

/// An answer of "no".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct AdmissionRefused {
    /// For programs.
    pub kind: RefusalKind,
    /// For people: what is wrong, and what to do.
    pub message: String,
}

impl AdmissionRefused {
    /// With a reason.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// What the cluster knows of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenStanding {
    /// What proofs are checked with.
    pub verifier: String,
    /// When its time is over; never, if none.
    pub expires: Option<SystemTime>,
    /// Nobody else may use it: the node that did, for one-time tokens.
    pub taken_by: Option<NodeId>,
}

/// A request that was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    name: PeerName,
    public_key: PublicKey,
    wants_authority: bool,
    token: Option<JoinTokenId>,
}

impl Approved {
    /// Checks everything about a request but what only the log can decide: that two nodes do not use one token, or one
    /// name, at the same time. The bytes are of anybody.
    pub fn check(
        identity: &Identity,
        request: &[u8],
        now: SystemTime,
        token: impl Fn(&JoinTokenId) -> Option<TokenStanding>,
    ) -> Result<Self, AdmissionRefused> {
        let (request, wish) = read(request)?;
        let ours = identity.current().facts.name.clone();
        let node_id = wish.node_id.clone();
        let name = PeerName { cluster: wish.cluster, namespace: wish.namespace.clone(), node_id };
        check_place(&ours, &name)?;
        let message = signed(&request.wish);
        let public_key = PublicKey::from_bytes(&wish.public_key)
            .filter(|key| key.has_signed(&message, &request.signature))
            .ok_or_else(|| AdmissionRefused::new(RefusalKind::Unreadable, "the request is not signed by its key"))?;
        match (&wish.token, &wish.certificate) {
            (Some(id), _) => {
                let standing = token(id);
                check_token(id, standing, &wish.node_id, now, &message, request.proof.as_deref())?;
            }
            (None, Some(certificate)) => check_certificate(identity, certificate, &name, &public_key)?,
            (None, None) => {
                let message =
                    "the request has neither a token nor a certificate; print a token with `exo cluster token`";
                return Err(AdmissionRefused::new(RefusalKind::UnknownToken, message));
            }
        }
        Ok(Self { name, public_key, wants_authority: wish.wants_authority, token: wish.token })
    }

    /// Who asked.
    pub fn node_id(&self) -> &NodeId {
        &self.name.node_id
    }

    /// Its key.
    pub fn key_fingerprint(&self) -> Fingerprint {
        self.public_key.fingerprint()
    }

    /// The token that it used; none for a renewal.
    pub fn token(&self) -> Option<&JoinTokenId> {
        self.token.as_ref()
    }

    /// Signs the certificate. Call it when the log has taken the admission.
    pub fn grant(&self, identity: &Identity, now: SystemTime) -> Result<AdmissionReply, CryptoError> {
        let current = identity.current();
        let certificate = identity.sign(&self.public_key, &self.name, now)?;
        let authority_key = current.authority.as_ref().filter(|_| self.wants_authority);
        Ok(AdmissionReply::Admitted(IssuedParts {
            certificate: certificate.to_vec(),
            authority: current.authority_certificate.to_vec(),
            authority_key: authority_key.map(|authority| authority.key().to_pkcs8()),
        }))
    }
}

fn read(bytes: &[u8]) -> Result<(AdmissionRequest, Wish), AdmissionRefused> {
    let unreadable = |reason: String| {
        let message =
            format!("the request cannot be read ({reason}); does the asking node run another version of exo?");
        AdmissionRefused::new(RefusalKind::Unreadable, message)
    };
    if bytes.len() > ADMISSION_LIMIT {
        return Err(unreadable("it is too long".to_owned()));
    }
    let request: AdmissionRequest = unpack(bytes).map_err(|error| unreadable(error.to_string()))?;
    let wish: Wish = unpack(&request.wish).map_err(|error| unreadable(error.to_string()))?;
    if !is_namespace(&wish.namespace) {
        return Err(unreadable("its namespace is none".to_owned()));
    }
    Ok((request, wish))
}

fn check_place(ours: &PeerName, theirs: &PeerName) -> Result<(), AdmissionRefused> {
    if ours.cluster != theirs.cluster {
        let message =
            "the request is for another cluster; print a new token with `exo cluster token` on a node of this one";
        return Err(AdmissionRefused::new(RefusalKind::OtherCluster, message));
    }
    if ours.namespace != theirs.namespace {
        let message = format!(
            "the cluster is of namespace {}, the new node of {}; set networking.namespace alike on both",
            ours.namespace, theirs.namespace
        );
        return Err(AdmissionRefused::new(RefusalKind::OtherNamespace, message));
    }
    Ok(())
}

fn check_token(
    id: &JoinTokenId,
    standing: Option<TokenStanding>,
    node: &NodeId,
    now: SystemTime,
    message: &[u8],
    proof: Option<&[u8]>,
) -> Result<(), AdmissionRefused> {
    let refuse = |kind, reason: &str| {
        let remedy = "print a new one with `exo cluster token` on a node of the cluster";
        Err(AdmissionRefused::new(kind, format!("{reason}; {remedy}")))
    };
    let Some(standing) = standing else {
        return refuse(RefusalKind::UnknownToken, &format!("the cluster does not know join token {id}"));
    };
    // The secret first: who does not have it learns nothing about the token.
    let verifier = standing.verifier.parse::<TokenVerifier>();
    let proved = proof.is_some_and(|proof| verifier.is_ok_and(|verifier| verifier.accepts(message, proof)));
    if !proved {
        return refuse(RefusalKind::ForgedToken, &format!("this is not join token {id}: its secret is another"));
    }
    if standing.expires.is_some_and(|expires| now >= expires) {
        return refuse(RefusalKind::ExpiredToken, &format!("join token {id} has expired"));
    }
    match standing.taken_by {
        Some(other) if other != *node => {
            refuse(RefusalKind::UsedToken, &format!("join token {id} was used already, by node {other}"))
        }
        _ => Ok(()),
    }
}

fn check_certificate(
    identity: &Identity,
    certificate: &[u8],
    name: &PeerName,
    key: &PublicKey,
) -> Result<(), AdmissionRefused> {
    let certificate = CertificateDer::from(certificate);
    let facts = Facts::checked_at_its_time(&certificate, &identity.current().roots).map_err(|error| {
        AdmissionRefused::new(RefusalKind::OtherCluster, format!("the old certificate does not help: {error}"))
    })?;
    if facts.public_key != *key || facts.name.node_id != name.node_id {
        let message = format!("the old certificate is not of node {} and its key", name.node_id);
        return Err(AdmissionRefused::new(RefusalKind::NameTaken, message));
    }
    identity.members().check(&facts).map_err(|error| {
        let revoked = matches!(error, PeerRefused::Revoked { .. });
        let kind = if revoked { RefusalKind::Revoked } else { RefusalKind::NameTaken };
        AdmissionRefused::new(kind, error.to_string())
    })
}

/// What a node gets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuedParts {
    certificate: Vec<u8>,
    authority: Vec<u8>,
    #[serde(default)]
    authority_key: Option<Vec<u8>>,
}

impl fmt::Debug for IssuedParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IssuedParts")
    }
}

/// A master's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdmissionReply {
    /// Welcome.
    Admitted(IssuedParts),
    /// No.
    Refused(AdmissionRefused),
}

impl AdmissionReply {
    /// In bytes.
    pub fn encode(&self) -> Result<Vec<u8>, CryptoError> {
        rmp_serde::to_vec_named(self).map_err(CryptoError::new("write a reply"))
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, JoinError> {
        if bytes.len() > ADMISSION_LIMIT {
            return Err(JoinError::Answer { reason: "it is too long".to_owned() });
        }
        unpack(bytes).map_err(|error| JoinError::Answer { reason: error.to_string() })
    }

    /// The identity that it makes of a key, if it is what was asked for.
    pub fn into_parts(self, key: &Key, name: &PeerName) -> Result<IdentityParts, JoinError> {
        let issued = match self {
            Self::Admitted(issued) => issued,
            Self::Refused(AdmissionRefused { kind, message }) => {
                return Err(JoinError::Refused { code: kind, message });
            }
        };
        let wrong = |reason: String| JoinError::Answer { reason };
        let parts = IdentityParts {
            key: key.to_pkcs8(),
            certificate: issued.certificate,
            authority: issued.authority,
            authority_key: issued.authority_key,
        };
        let identity = Identity::from_parts(&parts).map_err(|error| wrong(error.to_string()))?;
        let given = &identity.current().facts.name;
        if given.cluster != name.cluster || given.node_id != name.node_id {
            return Err(wrong(format!("the certificate is for {given}, {name} was asked for")));
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests;
