//! What two processes tell each other once TLS has shown who they are.

use super::PeerId;
use super::frame::{BODY, FrameError, Kind};
use exo_types::{NodeId, unpack};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Addresses that are looked at for one process.
pub(super) const ADDRESSES: usize = 8;
/// Processes that are told in one frame.
pub(super) const PEERS: usize = 128;

/// Where a process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub id: PeerId,
    pub addresses: Vec<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub node: NodeId,
    pub place: Place,
    /// Whether it can let nodes into the cluster.
    pub admits: bool,
}

/// The word of the side with the larger id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    Accepted,
    /// There is a link already.
    Doubled,
    /// The caller is the called.
    Itself,
    /// The id belongs to another node.
    Foreign,
}

pub(super) fn encode(message: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(message).expect("plain structures can be written")
}

pub(super) fn read_hello(body: &[u8]) -> Result<Hello, FrameError> {
    let mut hello: Hello = unpack(body).map_err(|_| FrameError::Body(Kind::Hello))?;
    hello.place.addresses.truncate(ADDRESSES);
    Ok(hello)
}

pub(super) fn read_verdict(body: &[u8]) -> Result<Verdict, FrameError> {
    unpack(body).map_err(|_| FrameError::Body(Kind::Verdict))
}

pub(super) fn read_peers(body: &[u8]) -> Result<Vec<Place>, FrameError> {
    let mut peers: Vec<Place> = unpack(body).map_err(|_| FrameError::Body(Kind::Peers))?;
    peers.truncate(PEERS);
    peers.iter_mut().for_each(|place| place.addresses.truncate(ADDRESSES));
    Ok(peers)
}

/// As many as one frame takes.
pub(super) fn write_peers(peers: &[Place]) -> Vec<u8> {
    let body = encode(&&peers[..peers.len().min(PEERS)]);
    debug_assert!(body.len() <= BODY);
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::DEEPEST;
    use proptest::prelude::*;
    use std::thread;

    fn place(id: u8) -> Place {
        let addresses = vec!["10.0.0.7:52414".parse().expect("one"), "[fd00::7]:52414".parse().expect("one")];
        Place { id: [id; 16], addresses }
    }

    #[test]
    fn messages_come_back() {
        let node = NodeId::new("a").expect("a good id");
        let hello = Hello { node, place: place(1), admits: true };
        assert_eq!(read_hello(&encode(&hello)).expect("readable"), hello);
        assert_eq!(read_verdict(&encode(&Verdict::Doubled)).expect("readable"), Verdict::Doubled);
        let peers = [place(1), place(2)];
        assert_eq!(read_peers(&write_peers(&peers)).expect("readable"), peers);
    }

    #[test]
    fn messages_nested_without_end_are_refused_before_they_fill_the_stack() {
        // The message with one more field: a list in a list in a list.
        fn nested(mut message: Vec<u8>, levels: usize) -> Vec<u8> {
            message[0] += 1;
            [message, b"\xa5later".to_vec(), vec![0x91; levels], vec![1]].concat()
        }
        let hello = |levels| {
            let node = NodeId::new("a").expect("a good id");
            read_hello(&nested(encode(&Hello { node, place: place(1), admits: true }), levels))
        };
        let peers = |levels| read_peers(&[vec![0x91], nested(encode(&place(1)), levels)].concat());
        let check = move || {
            assert!(hello(100).is_ok() && peers(100).is_ok());
            for levels in [DEEPEST, 1000] {
                assert!(matches!(hello(levels), Err(FrameError::Body(Kind::Hello))), "{levels} levels");
                assert!(matches!(peers(levels), Err(FrameError::Body(Kind::Peers))), "{levels} levels");
            }
            assert!(read_verdict(&[0x91; 1000]).is_err());
        };
        let thread = thread::Builder::new().stack_size(1 << 20).spawn(check).expect("starts");
        thread.join().expect("reads on a small stack");
    }

    #[test]
    fn the_most_peers_with_the_most_addresses_fit_one_frame() {
        let addresses = vec!["[fd00:1111:2222:3333:4444:5555:6666:7777]:52414".parse().expect("one"); ADDRESSES];
        let many = vec![Place { id: [255; 16], addresses }; PEERS + 1];
        let body = write_peers(&many);
        assert!(body.len() <= BODY, "{}", body.len());
        assert_eq!(read_peers(&body).expect("readable").len(), PEERS);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (read_hello(&bytes), read_verdict(&bytes), read_peers(&bytes));
        }
    }
}
