use super::*;
use crate::members::Members;
use exo_types::NodeId;
use rustls::{ClientConnection, Connection, ServerConnection};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn founded(now: SystemTime) -> Identity {
    Identity::found(node("a"), "lab", now).expect("founds")
}

fn other(first: &Identity, now: SystemTime) -> Identity {
    Identity::from_parts(&first.vouch(node("b"), now).expect("vouches")).expect("good")
}

/// Carries bytes until both are done or one refuses; what the server and the client say then.
fn shake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
) -> (Result<ServerConnection, Error>, Result<ClientConnection, Error>) {
    let mut server = Connection::from(ServerConnection::new(server).expect("good"));
    let mut client = Connection::from(ClientConnection::new(client, server_name()).expect("good"));
    let (mut served, mut called) = (Ok(()), Ok(()));
    for _ in 0..10 {
        called = called.and(pass(&mut server, &mut client));
        served = served.and(pass(&mut client, &mut server));
    }
    let Connection::Server(server) = server else { panic!("it was one") };
    let Connection::Client(client) = client else { panic!("it was one") };
    (served.map(|()| server), called.map(|()| client))
}

fn pass(from: &mut Connection, to: &mut Connection) -> Result<(), Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).expect("memory takes all");
    }
    let mut bytes = bytes.as_slice();
    while !bytes.is_empty() {
        to.read_tls(&mut bytes).expect("memory gives all");
        to.process_new_packets()?;
    }
    Ok(())
}

fn bus(server: &Identity, client: &Identity) -> (Result<Facts, HandshakeRefused>, Result<Facts, HandshakeRefused>) {
    let (server, client) = shake(server.server_config(BUS).expect("good"), client.client_config(BUS).expect("good"));
    let facts = |certificates: Option<&[CertificateDer<'_>]>| Ok(peer_of(certificates)?);
    (
        server.map_err(|error| (&error).into()).and_then(|server| facts(server.peer_certificates())),
        client.map_err(|error| (&error).into()).and_then(|client| facts(client.peer_certificates())),
    )
}

#[test]
fn two_nodes_of_a_cluster_know_each_other_by_name() {
    let now = SystemTime::now();
    let a = founded(now);
    let b = other(&a, now);
    let (at_server, at_client) = bus(&a, &b);
    assert_eq!(at_server.expect("accepts").name.node_id, node("b"));
    assert_eq!(at_client.expect("accepts").name.node_id, node("a"));
}

#[test]
fn strangers_expired_and_early_ones_are_refused_and_told_why() {
    let now = SystemTime::now();
    let a = founded(now);
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    let check = |client: &Identity, expect: PeerRefused, word: &str| {
        let (at_server, at_client) = bus(&a, client);
        assert_eq!(at_server, Err(HandshakeRefused::Peer(expect)));
        // A client that trusts the server learns the reason by an alert; one that does not has its own.
        let reason = at_client.map(|facts| facts.name).expect_err("refused").to_string();
        assert!(reason.contains(word), "{reason} does not contain {word}");
    };
    check(&other(&a, now - days(31)), PeerRefused::Expired, "not valid");
    check(&other(&a, now + days(2)), PeerRefused::NotYet, "not valid");
    let (at_server, at_client) = bus(&a, &founded(now));
    assert_eq!(at_client, Err(HandshakeRefused::Peer(PeerRefused::OtherCluster)));
    assert_eq!(at_server, Err(HandshakeRefused::Us("it belongs to another cluster")));
}

#[test]
fn a_node_of_another_namespace_is_refused() {
    let now = SystemTime::now();
    let a = founded(now);
    let b = other(&a, now);
    let attic = a.reissued("attic", now).expect("reissues");
    a.replace(&attic).expect("good");
    // The client sees the other certificate first.
    let expect = PeerRefused::Namespace { theirs: "attic".to_owned(), ours: "lab".to_owned() };
    assert_eq!(bus(&a, &b).1, Err(HandshakeRefused::Peer(expect.clone())));
    assert!(matches!(bus(&b, &a).1, Err(HandshakeRefused::Peer(PeerRefused::Namespace { .. }))));
    assert!(expect.to_string().contains("networking.namespace"));
}

#[test]
fn a_revoked_node_is_refused_from_then_on() {
    let now = SystemTime::now();
    let a = founded(now);
    let b = other(&a, now);
    // Made before the revocation, used after it.
    let (server, client) = (a.server_config(BUS).expect("good"), b.client_config(BUS).expect("good"));
    let revoked = BTreeMap::from([(b.key_fingerprint(), node("b"))]);
    assert!(a.set_members(Members { revoked, ..Members::default() }));
    let (at_server, at_client) = shake(server, client);
    assert_eq!(at_server.map(drop), Err(Error::InvalidCertificate(CertificateError::Revoked)));
    assert_eq!(at_client.map(drop), Err(Error::AlertReceived(AlertDescription::CertificateRevoked)));
}

#[test]
fn a_renewed_certificate_is_shown_by_configurations_that_are_older() {
    let now = SystemTime::now();
    let a = founded(now);
    let b = Identity::from_parts(&a.vouch(node("b"), now - Duration::from_secs(40 * 24 * 3600)).expect("vouches"));
    let b = b.expect("an expired identity can be renewed");
    let (server, client) = (a.server_config(BUS).expect("good"), b.client_config(BUS).expect("good"));
    assert!(shake(server.clone(), client.clone()).0.is_err());
    b.replace(&a.vouch(node("b"), now).expect("vouches")).expect("good");
    assert!(shake(server, client).0.is_ok());
}

#[test]
fn without_a_certificate_there_is_only_the_way_to_the_desk() {
    let now = SystemTime::now();
    let a = founded(now);
    let stranger = join_client_config(a.cluster()).expect("good");
    let (server, _) = shake(a.join_server_config().expect("good"), stranger.clone());
    assert_eq!(server.expect("accepts").alpn_protocol(), Some(JOIN));
    assert!(shake(a.server_config(BUS).expect("good"), stranger).0.is_err());
    let mut bare = (*join_client_config(a.cluster()).expect("good")).clone();
    bare.alpn_protocols = vec![BUS.to_vec()];
    let refused = shake(a.server_config(BUS).expect("good"), Arc::new(bare)).0.map(drop).expect_err("refused");
    assert_eq!(HandshakeRefused::from(&refused), HandshakeRefused::Peer(PeerRefused::NoCertificate));
}

#[test]
fn a_token_is_answered_by_its_own_cluster_only() {
    let now = SystemTime::now();
    let (a, elsewhere) = (founded(now), founded(now));
    let pinned = join_client_config(a.cluster()).expect("good");
    let refused = shake(elsewhere.join_server_config().expect("good"), pinned).1.map(drop);
    assert_eq!(refused, Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)));
}
