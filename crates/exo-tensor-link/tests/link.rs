//! Two ranks on loopback, and peers that do not behave.

use exo_identity::{Identity, TENSOR, server_name};
use exo_tensor_link::{Handshake, Link, LinkError, Listener, Precision, ProtocolError, TensorLink};
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

fn handshake(rank: u32, peer: u32) -> Handshake {
    Handshake {
        instance: "instance-1".to_owned(),
        incarnation: 3,
        rank,
        peer,
        world: 2,
        channel: 0,
        max_metadata: 64,
        max_values: 5000,
        precision: Precision::F32,
    }
}

/// The first node of the cluster, which both ranks are on.
static OWN: LazyLock<Identity> = LazyLock::new(|| found("a"));

fn node(name: &str) -> exo_types::NodeId {
    exo_types::NodeId::new(name).expect("a good id")
}

fn found(name: &str) -> Identity {
    Identity::found(node(name), "lab", SystemTime::now()).expect("founds")
}

/// Long enough for a machine that does much else; nothing waits for it to pass.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn listen() -> Listener {
    Listener::bind(([127, 0, 0, 1], 0).into()).expect("loopback has a free port")
}

/// Rank 0 and rank 1, joined.
fn pair_of(first: Handshake, last: Handshake) -> (Link, Link) {
    let listener = listen();
    let address = listener.address();
    let last = thread::spawn(move || listener.accept(&OWN, &last, soon()).expect("accepts"));
    let first = Link::connect(address, &OWN, &first, soon()).expect("connects");
    (first, last.join().expect("does not panic"))
}

fn pair() -> (Link, Link) {
    pair_of(handshake(0, 1), handshake(1, 0))
}

fn receive(link: &mut impl TensorLink) -> Result<(u64, Vec<u8>, Vec<f32>), LinkError> {
    let (mut metadata, mut values) = (vec![9; 3], vec![9.0; 3]);
    let number = link.recv_into(&mut metadata, &mut values, soon())?;
    Ok((number, metadata, values))
}

#[test]
fn frames_arrive_whole_in_order_in_both_directions() {
    let (mut first, mut last) = pair();
    let values: Vec<f32> = (0..5000_u16).map(f32::from).collect();
    let echo = thread::spawn(move || {
        for number in 0..100 {
            let (got, metadata, values) = receive(&mut last).expect("a frame");
            assert_eq!(got, number);
            last.send(&metadata, &values, soon()).expect("sends");
        }
    });
    for number in 0..100_usize {
        let (metadata, values) = (vec![7; number % 65], &values[..number * 50]);
        first.send(&metadata, values, soon()).expect("sends");
        let (_, blob, numbers) = receive(&mut first).expect("a frame");
        assert_eq!((blob.as_slice(), numbers.as_slice()), (metadata.as_slice(), values));
    }
    echo.join().expect("does not panic");
}

#[test]
fn frames_sent_at_once_are_told_apart() {
    let (mut first, mut last) = pair();
    for number in 0..20_u8 {
        first.send(&[number], &[f32::from(number); 3], soon()).expect("sends");
    }
    for number in 0..20_u8 {
        let frame = receive(&mut last).expect("a frame");
        assert_eq!(frame, (u64::from(number), vec![number], vec![f32::from(number); 3]));
    }
}

#[test]
fn half_precision_rounds_and_nothing_more() {
    let half = |handshake| Handshake { precision: Precision::F16, ..handshake };
    let (mut first, mut last) = pair_of(half(handshake(0, 1)), half(handshake(1, 0)));
    first.send(b"", &[1.0, -0.5, 0.1, 65504.0], soon()).expect("sends");
    let (_, _, values) = receive(&mut last).expect("a frame");
    assert_eq!(values, [1.0, -0.5, 0.099_975_586, 65504.0]);
}

#[test]
fn the_smaller_maximum_holds_and_a_larger_frame_is_refused_before_it_leaves() {
    let small = Handshake { max_values: 10, ..handshake(1, 0) };
    let (mut first, mut last) = pair_of(handshake(0, 1), small);
    assert_eq!((first.max_values(), first.max_metadata()), (10, 64));
    let refused = first.send(b"", &[0.0; 11], soon());
    assert!(matches!(refused, Err(LinkError::TooLarge { what: "values", size: 11, limit: 10 })));
    let refused = first.send(&[0; 65], &[], soon());
    assert!(matches!(refused, Err(LinkError::TooLarge { size: 65, limit: 64, .. })));
    first.send(b"still fine", &[1.0], soon()).expect("sends");
    assert_eq!(receive(&mut last).expect("a frame").1, b"still fine");
}

#[test]
fn a_wrong_rank_is_told_why_and_the_right_one_still_gets_in() {
    let listener = listen();
    let address = listener.address();
    let last = thread::spawn(move || listener.accept(&OWN, &handshake(1, 0), soon()).map(drop));
    for (wrong, word) in [
        (Handshake { incarnation: 2, ..handshake(0, 1) }, "incarnation"),
        (Handshake { instance: "instance-2".to_owned(), ..handshake(0, 1) }, "instance"),
        (Handshake { world: 3, ..handshake(0, 1) }, "number of ranks"),
        (Handshake { rank: 2, world: 3, ..handshake(0, 1) }, "number of ranks"),
        (handshake(1, 0), "called"),
    ] {
        let refused = Link::connect(address, &OWN, &wrong, soon()).map(drop);
        let Err(LinkError::HandshakeRefused { reason }) = refused else { panic!("{refused:?}") };
        assert!(reason.contains(word), "{reason}");
    }
    Link::connect(address, &OWN, &handshake(0, 1), soon()).expect("the right one");
    last.join().expect("does not panic").expect("accepts");
}

#[test]
fn callers_that_do_not_speak_do_not_keep_the_right_one_out() {
    let listener = listen();
    let address = listener.address();
    let mut web = TcpStream::connect(address).expect("connects");
    web.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("writes");
    drop(TcpStream::connect(address).expect("connects"));
    let last = thread::spawn(move || listener.accept(&OWN, &handshake(1, 0), soon()).map(drop));
    Link::connect(address, &OWN, &handshake(0, 1), soon()).expect("connects");
    last.join().expect("does not panic").expect("accepts");
}

#[test]
fn a_rank_that_does_not_listen_yet_is_called_again() {
    let free = listen().address();
    let first = thread::spawn(move || Link::connect(free, &OWN, &handshake(0, 1), soon()).map(drop));
    let listener = Listener::bind(free).expect("still free");
    listener.accept(&OWN, &handshake(1, 0), soon()).expect("accepts");
    first.join().expect("does not panic").expect("connects");
}

#[test]
fn deadlines_hold_and_what_came_late_still_comes() {
    let nobody = listen();
    let now = Instant::now();
    assert!(matches!(nobody.accept(&OWN, &handshake(1, 0), now), Err(LinkError::Timeout { .. })));
    let (address, _) = (nobody.address(), drop(nobody));
    let short = Instant::now() + Duration::from_millis(5);
    assert!(matches!(Link::connect(address, &OWN, &handshake(0, 1), short), Err(LinkError::Timeout { .. })));

    let (mut first, mut last) = pair();
    let (mut metadata, mut values) = (Vec::new(), Vec::new());
    let late = last.recv_into(&mut metadata, &mut values, Instant::now());
    assert!(matches!(late, Err(LinkError::Timeout { doing: "receiving a frame" })));
    first.send(b"late", &[1.0], soon()).expect("sends");
    assert_eq!(receive(&mut last).expect("a frame").1, b"late");
}

#[test]
fn a_peer_that_takes_nothing_ends_the_sender_at_its_deadline() {
    let (mut first, _last) = pair();
    let deadline = Instant::now() + Duration::from_millis(50);
    let ended = loop {
        if let Err(error) = first.send(&[], &[0.0; 5000], deadline) {
            break error;
        }
    };
    assert!(matches!(ended, LinkError::Timeout { doing: "sending a frame" }));
    assert!(matches!(first.send(&[], &[], soon()), Err(LinkError::Closed)), "part of a frame left");
}

#[test]
fn a_closer_ends_a_wait_in_another_thread() {
    let (mut first, last) = pair();
    let closer = first.closer();
    let waiting = thread::spawn(move || receive(&mut first).map(drop));
    closer.close();
    assert!(matches!(waiting.join().expect("does not panic"), Err(LinkError::Closed)));
    drop(last);
}

#[test]
fn halves_serve_two_threads_and_a_dropped_sender_is_seen() {
    let (first, mut last) = pair();
    let (mut sender, mut receiver) = first.split();
    let reader = thread::spawn(move || {
        let (mut metadata, mut values) = (Vec::new(), Vec::new());
        receiver.recv_into(&mut metadata, &mut values, soon()).map(|_| metadata)
    });
    sender.send(b"out", &[], soon()).expect("sends");
    assert_eq!(receive(&mut last).expect("a frame").1, b"out");
    last.send(b"in", &[], soon()).expect("sends");
    assert_eq!(reader.join().expect("does not panic").expect("a frame"), b"in");
    drop(sender);
    assert!(matches!(receive(&mut last), Err(LinkError::Closed)));
}

/// A rank whose peer shakes hands by the book and then writes what the test says.
struct Rogue {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// A good frame with one byte of metadata and one value.
    frame: Vec<u8>,
}

impl Rogue {
    fn send(&mut self) {
        self.stream.write_all(&self.frame).expect("writes");
        self.stream.flush().expect("writes");
    }
}

fn rogue() -> (Rogue, Link) {
    // What the book says is recorded from a good rank, through a relay that is of the cluster as well.
    let (listener, relay) = (listen(), listen());
    let (address, relayed) = (listener.address(), relay.address());
    drop(relay);
    let relay = std::net::TcpListener::bind(relayed).expect("still free");
    let good = thread::spawn(move || {
        let mut good = Link::connect(relayed, &OWN, &handshake(0, 1), soon()).expect("connects");
        good.send(b"m", &[1.0], soon()).expect("sends");
    });
    let last = thread::spawn(move || listener.accept(&OWN, &handshake(1, 0), soon()).expect("accepts"));
    let (inside, _) = relay.accept().expect("the good one calls");
    let inside_tls = ServerConnection::new(OWN.server_config(TENSOR).expect("good")).expect("good");
    let mut inside = StreamOwned::new(inside_tls, inside);
    let outside = ClientConnection::new(OWN.client_config(TENSOR).expect("good"), server_name()).expect("good");
    let mut stream = StreamOwned::new(outside, TcpStream::connect(address).expect("connects"));
    let mut hello = vec![0; 32 + 36 + "instance-1".len()];
    inside.read_exact(&mut hello).expect("a hello");
    stream.write_all(&hello).expect("writes");
    let mut welcome = vec![0; hello.len()];
    stream.read_exact(&mut welcome).expect("a welcome");
    inside.write_all(&welcome).expect("writes");
    inside.flush().expect("writes");
    let mut frame = Vec::new();
    // The good one ends without a goodbye.
    let _cut = inside.read_to_end(&mut frame);
    good.join().expect("does not panic");
    (Rogue { stream, frame }, last.join().expect("does not panic"))
}

fn check(change: impl FnOnce(&mut Vec<u8>), expect: ProtocolError) {
    let (mut rogue, mut link) = rogue();
    change(&mut rogue.frame);
    rogue.send();
    rogue.stream.sock.shutdown(Shutdown::Write).expect("open");
    match receive(&mut link) {
        Err(LinkError::Protocol(error)) => assert_eq!(error, expect),
        other => panic!("{other:?}"),
    }
    assert!(matches!(receive(&mut link), Err(LinkError::Closed)), "the link is over");
}

#[test]
fn the_recorded_frame_is_good() {
    let (mut rogue, mut link) = rogue();
    rogue.send();
    assert_eq!(receive(&mut link).expect("a frame"), (0, b"m".to_vec(), vec![1.0]));
}

#[test]
fn another_magic_or_version_is_refused() {
    check(|frame| frame[..4].copy_from_slice(b"HTTP"), ProtocolError::Magic { found: u32::from_le_bytes(*b"HTTP") });
    check(|frame| frame[4] = 200, ProtocolError::Version { found: 200, ours: 2 });
}

#[test]
fn a_frame_out_of_order_or_of_another_link_is_refused() {
    check(|frame| frame[16] = 1, ProtocolError::Sequence { found: 1, expected: 0 });
    check(|frame| frame[8] ^= 1, ProtocolError::Nonce);
    check(|frame| frame[6] = 1, ProtocolError::Precision { found: 1, agreed: 0 });
    check(|frame| frame[5] = 1, ProtocolError::Kind { found: 1, expected: "data" });
}

#[test]
fn giant_lengths_allocate_nothing_and_are_refused() {
    let giant = u32::MAX as usize;
    check(|frame| frame[28..32].fill(0xff), ProtocolError::Length { what: "values", size: giant, limit: 5000 });
    let metadata = ProtocolError::Length { what: "bytes of metadata", size: giant, limit: 64 };
    check(|frame| frame[24..28].fill(0xff), metadata);
}

#[test]
fn a_peer_that_ends_inside_a_frame_is_told_apart_from_one_that_closes() {
    for length in [1, 31, 32, 36] {
        check(|frame| frame.truncate(length), ProtocolError::Truncated { received: length });
    }
    let (rogue, mut link) = rogue();
    drop(rogue);
    assert!(matches!(receive(&mut link), Err(LinkError::Closed)));
}

#[test]
fn ranks_of_another_cluster_expired_and_revoked_ones_are_refused_and_told() {
    let listener = listen();
    let address = listener.address();
    let first = found("a");
    let vouched = |name, when| Identity::from_parts(&first.vouch(node(name), when).expect("vouches")).expect("good");
    let expired = vouched("b", SystemTime::now() - Duration::from_secs(40 * 24 * 3600));
    let (revoked, friend) = (vouched("c", SystemTime::now()), vouched("d", SystemTime::now()));
    let mut members = exo_identity::Members::default();
    members.revoked.insert(revoked.key_fingerprint(), node("c"));
    first.set_members(members);
    let last = thread::spawn(move || listener.accept(&first, &handshake(1, 0), soon()).map(drop));
    for (stranger, word) in [(found("a"), "another cluster"), (expired, "not valid"), (revoked, "revoked")] {
        let refused = Link::connect(address, &stranger, &handshake(0, 1), soon()).map(drop);
        let Err(LinkError::Peer(reason)) = refused else { panic!("{word}: {refused:?}") };
        assert!(reason.to_string().contains(word), "{reason}");
    }
    Link::connect(address, &friend, &handshake(0, 1), soon()).expect("the right one");
    last.join().expect("does not panic").expect("accepts");
}

#[test]
fn a_peer_that_is_thrown_out_ends_the_calls_of_its_link_with_the_reason() {
    let listener = listen();
    let address = listener.address();
    let first = found("a");
    let second = Identity::from_parts(&first.vouch(node("b"), SystemTime::now()).expect("vouches")).expect("good");
    let called = thread::spawn(move || Link::connect(address, &second, &handshake(0, 1), soon()).expect("connects"));
    let mut link = listener.accept(&first, &handshake(1, 0), soon()).expect("accepts");
    let mut called = called.join().expect("does not panic");
    let peer = link.peer().expect("it has shown a certificate");
    assert_eq!(peer.name.node_id, node("b"));
    let (closer, waits) = (link.closer(), thread::spawn(move || (receive(&mut link).map(drop), link)));
    let revoked = [(peer.key_fingerprint(), node("b"))].into();
    first.set_members(exo_identity::Members { revoked, ..exo_identity::Members::default() });
    closer.refuse(first.check_facts(&peer).expect_err("it was thrown out"));
    let (received, mut link) = waits.join().expect("does not panic");
    for ended in [received, link.send(b"", &[1.0], soon()), receive(&mut link).map(drop)] {
        let Err(LinkError::Peer(reason)) = ended else { panic!("{ended:?}") };
        assert_eq!(reason.word(), "revoked");
    }
    assert!(matches!(receive(&mut called), Err(LinkError::Closed)), "no frame left");
}

#[test]
fn nothing_readable_travels() {
    let (listener, relay) = (listen(), std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
    let (address, relayed) = (listener.address(), relay.local_addr().expect("bound"));
    let overheard = thread::spawn(move || {
        let (mut inside, _) = relay.accept().expect("a caller");
        let mut outside = TcpStream::connect(address).expect("connects");
        let (mut from, mut to) = (outside.try_clone().expect("a clone"), inside.try_clone().expect("a clone"));
        let back = thread::spawn(move || std::io::copy(&mut from, &mut to));
        let mut overheard = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = inside.read(&mut buffer) {
            overheard.extend_from_slice(&buffer[..count]);
            outside.write_all(&buffer[..count]).expect("writes");
        }
        outside.shutdown(Shutdown::Both).ok();
        let _ended = back.join();
        overheard
    });
    let last = thread::spawn(move || {
        let mut last = listener.accept(&OWN, &handshake(1, 0), soon()).expect("accepts");
        receive(&mut last).expect("a frame")
    });
    let mut first = Link::connect(relayed, &OWN, &handshake(0, 1), soon()).expect("connects");
    first.send(b"a secret in the metadata", &[1.0; 100], soon()).expect("sends");
    assert_eq!(last.join().expect("does not panic").1, b"a secret in the metadata");
    drop(first);
    let overheard = overheard.join().expect("does not panic");
    for word in [b"a secret".as_slice(), b"instance-1", b"EXOT", &1.0_f32.to_le_bytes().repeat(8)] {
        assert!(!overheard.windows(word.len()).any(|window| window == word), "{word:?} can be read");
    }
}
