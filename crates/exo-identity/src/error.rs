//! One error per operation; what a caller can act on is a variant of its own.

use std::io;
use std::path::PathBuf;

/// The cryptography itself failed: bad bytes, or no randomness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action}: {reason}")]
pub struct CryptoError {
    /// What was tried.
    pub action: &'static str,
    /// In the library's words.
    pub reason: String,
}

impl CryptoError {
    pub(crate) fn new<E: std::fmt::Display>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self { action, reason: error.to_string() }
    }
}

/// Why a peer's certificate is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefused {
    /// It has none.
    #[error("the peer shows no certificate; only nodes that were admitted may connect")]
    NoCertificate,
    /// Not one that we can read.
    #[error("the peer's certificate cannot be read: {reason}")]
    Unreadable {
        /// What is wrong with it.
        reason: String,
    },
    /// Of another authority.
    #[error(
        "the peer belongs to another cluster; to join them, run `exo cluster token` there and `exo cluster join` here"
    )]
    OtherCluster,
    /// Its time is over.
    #[error(
        "the peer's certificate has expired; start a master that it can reach, or check the clocks of both machines"
    )]
    Expired,
    /// Its time has not come.
    #[error("the peer's certificate is not valid yet; check the clocks of both machines")]
    NotYet,
    /// For another namespace.
    #[error("the peer is of namespace {theirs}, this node of {ours}; set networking.namespace alike to join them")]
    Namespace {
        /// Of the peer.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// It was thrown out.
    #[error("node {node} was revoked; admit it anew with a join token if that was a mistake")]
    Revoked {
        /// The node.
        node: String,
    },
    /// The cluster knows the node under another key.
    #[error("the peer shows a key for node {node} that the cluster does not know; revoke the node, then admit it anew")]
    OtherKey {
        /// The node.
        node: String,
    },
    /// It calls itself otherwise than its certificate does.
    #[error("the peer calls itself {claimed}, its certificate names {certified}")]
    OtherName {
        /// In its own words.
        claimed: String,
        /// In those of the certificate.
        certified: String,
    },
}

impl PeerRefused {
    /// One word, for counters.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Unreadable { .. } => "unreadable",
            Self::OtherCluster => "other_cluster",
            Self::Expired => "expired",
            Self::NotYet => "not_yet_valid",
            Self::Namespace { .. } => "namespace",
            Self::Revoked { .. } => "revoked",
            Self::OtherKey { .. } => "other_key",
            Self::OtherName { .. } => "other_name",
        }
    }
}

/// Why a text is no join token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not even the beginning of one.
    #[error(
        "this is no join token: one begins with exo1- (print one with `exo cluster token` on a node of the cluster)"
    )]
    NoToken,
    /// Cut off, or with a typing error.
    #[error("the join token is damaged ({reason}): copy all of it")]
    Damaged {
        /// What is wrong.
        reason: &'static str,
    },
    /// The file with it cannot be read.
    #[error("the join token in {path} cannot be read: {error}; check security.joinTokenFile")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: String,
    },
}

/// Why a node has no identity to work with.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Its files cannot be read or written.
    #[error("{path}: {error}; give the data directory to the user that runs exo, and check the free space")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// They can be read, and make no sense.
    #[error(
        "{path} is damaged ({reason}); restore it from a backup, or move {directory} away and admit this node anew \
         (`exo cluster token` on another node, `exo cluster join` here)"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Where it lies.
        directory: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process of this node holds it for too long.
    #[error("another process of this node is joining or renewing since {0:?}; see its log, or stop it")]
    Busy(std::time::Duration),
    /// The certificate's time is over, and nobody renews it.
    #[error(
        "this node's certificate cannot be used any more ({reason}) and no master renewed it ({attempt}); start a master, \
         check networking.peers and this machine's clock, or run `exo cluster join` with a new token"
    )]
    Lapsed {
        /// Why it cannot be used.
        reason: String,
        /// What was tried.
        attempt: String,
    },
    /// The token is for another cluster.
    #[error(
        "this node belongs to cluster {ours}, which has other nodes, and the join token is of cluster {theirs}; \
         run `exo cluster join` to leave the one for the other, or take the token away"
    )]
    OtherCluster {
        /// Of this node.
        ours: String,
        /// Of the token.
        theirs: String,
    },
    /// Not a namespace.
    #[error("networking.namespace cannot be {0:?}: 1 to 64 ASCII letters, digits and - _ . are allowed")]
    Namespace(String),
    /// It was not let in.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The token itself.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The cryptography.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Why a node was not let into a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Nobody there.
    #[error(
        "no master of the cluster could be reached: {attempts}; check that it runs and that this machine reaches it, \
         or print a new token with `exo cluster token --address HOST:PORT`"
    )]
    Unreachable {
        /// Each address, and what happened.
        attempts: String,
    },
    /// Whoever answers is not who the token names.
    #[error("{address} belongs to another cluster than the one that made this token; somebody may be in between")]
    WrongCluster {
        /// Who answered.
        address: String,
    },
    /// The cluster said no.
    #[error("the cluster refused: {message}")]
    Refused {
        /// For programs.
        code: crate::RefusalKind,
        /// For people.
        message: String,
    },
    /// The answer makes no sense.
    #[error("the cluster's answer cannot be used: {reason}")]
    Answer {
        /// What is wrong with it.
        reason: String,
    },
}
