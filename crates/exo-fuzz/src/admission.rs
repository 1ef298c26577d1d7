//! What a node that wants to be let in and a master tell each other, and certificates. The first byte chooses.

use crate::input;
use exo_identity::{AdmissionReply, Approved, Facts, Identity, PeerName};
use exo_types::NodeId;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let node = NodeId::new("master").expect("a good id");
    Identity::found(node, "exo", now()).expect("keys can be made")
});

/// Some day on which certificates are good, and always the same.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// Nobody is let in by chance.
pub(crate) fn run(bytes: &[u8]) {
    let (kind, rest) = input::choice(bytes);
    match kind % 4 {
        0 => assert!(Approved::check(&IDENTITY, rest, now(), |_| None).is_err(), "it was let in"),
        1 => drop(AdmissionReply::decode(rest)),
        2 => drop(Facts::read(rest)),
        _ => {
            if let Some(name) = PeerName::from_uri(input::text(rest)) {
                assert_eq!(PeerName::from_uri(&name.to_uri()).as_ref(), Some(&name));
            }
        }
    }
}
