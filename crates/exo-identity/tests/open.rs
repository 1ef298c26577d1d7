//! How nodes come to their identity, with real files and a real network.

use exo_identity::{
    ADMISSION_LIMIT, AdmissionRefused, AdmissionReply, Approved, Identity, IdentityError, IdentityStore, JoinError,
    JoinToken, Opened, Opening, RefusalKind, TokenStanding,
};
use exo_types::NodeId;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn scratch() -> (TempDir, IdentityStore) {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let store = IdentityStore::new(folder.path());
    (folder, store)
}

fn opening(name: &str) -> Opening<'static> {
    Opening {
        node_id: node(name),
        namespace: "lab",
        wants_authority: false,
        token: None,
        masters: &[],
        set_aside: &["master"],
        patience: Duration::ZERO,
        now: SystemTime::now(),
    }
}

/// A master's desk on a port of its own, which serves one visitor after another for as long as the test lives.
fn desk(master: &Identity, token: &JoinToken, taken_by: Option<&str>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let (master, verifier) = (master.clone(), token.verifier().expect("a verifier").to_string());
    let standing = TokenStanding { verifier, expires: None, taken_by: taken_by.map(node) };
    std::thread::spawn(move || {
        let config = master.join_server_config().expect("good");
        for tcp in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("good");
            let mut stream = rustls::StreamOwned::new(connection, tcp.expect("a caller"));
            let mut length = [0; 4];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut request = vec![0; (u32::from_le_bytes(length) as usize).min(ADMISSION_LIMIT)];
            stream.read_exact(&mut request).expect("a request");
            let now = SystemTime::now();
            let approved = Approved::check(&master, &request, now, |_| Some(standing.clone()));
            let reply = match approved {
                Ok(approved) => approved.grant(&master, now).expect("signs"),
                Err(refused) => AdmissionReply::Refused(refused),
            };
            let reply = reply.encode().expect("encodes");
            let length = u32::try_from(reply.len()).expect("short").to_le_bytes();
            stream.write_all(&[&length, reply.as_slice()].concat()).expect("writes");
            stream.flush().expect("writes");
        }
    });
    address
}

/// A cluster of one, and a token for it.
fn cluster() -> (Identity, JoinToken) {
    let master = Identity::found(node("a"), "lab", SystemTime::now()).expect("founds");
    let first = JoinToken::generate(master.cluster(), []).expect("a token");
    // The address is known once somebody listens, and the verifier before.
    let address = desk(&master, &first, None);
    let token = readdressed(&first, &address);
    (master, token)
}

/// The same token with another address: what a token says of addresses is not part of its secret.
fn readdressed(token: &JoinToken, address: &str) -> JoinToken {
    token.with_addresses([address.to_owned()])
}

#[test]
fn the_first_start_founds_a_cluster_and_the_next_ones_find_it() {
    let (folder, store) = scratch();
    let (first, opened) = Identity::open(&store, &opening("a")).expect("opens");
    assert_eq!((opened, first.has_authority()), (Opened::Founded, true));
    let (again, opened) = Identity::open(&store, &opening("a")).expect("opens");
    assert_eq!((opened, again.parts()), (Opened::Found, first.parts()));
    let directory = folder.path().join("identity");
    assert_eq!(fs::metadata(&directory).expect("exists").permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&directory).expect("lists") {
        let entry = entry.expect("an entry");
        assert_eq!(entry.metadata().expect("exists").permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
}

#[test]
fn many_processes_of_a_new_node_agree_on_one_identity() {
    let (_folder, store) = scratch();
    let clusters: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> =
            (0..4).map(|_| scope.spawn(|| Identity::open(&store, &opening("a")).expect("opens").0.cluster())).collect();
        starts.into_iter().map(|start| start.join().expect("no panic")).collect()
    });
    assert!(clusters.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_token_lets_a_node_in() {
    let (master, token) = cluster();
    let (_folder, store) = scratch();
    let opening = Opening { token: Some(&token), wants_authority: true, ..opening("b") };
    let (joined, opened) = Identity::open(&store, &opening).expect("joins");
    assert_eq!((opened, joined.cluster()), (Opened::Joined { archived: None }, master.cluster()));
    assert!(joined.has_authority());
    // The token is spent, and not asked for again.
    let (again, opened) = Identity::open(&store, &opening).expect("opens");
    assert_eq!((opened, again.key_fingerprint()), (Opened::Found, joined.key_fingerprint()));
}

#[test]
fn an_admission_that_was_cut_off_goes_on_with_the_same_key() {
    let (_master, token) = cluster();
    let (folder, store) = scratch();
    let closed = TcpListener::bind(("127.0.0.1", 0)).expect("a free port").local_addr().expect("bound").to_string();
    refused_at(&store, &readdressed(&token, &closed));
    let drafted = fs::read_to_string(folder.path().join("identity.next/node.key")).expect("kept");
    Identity::open(&store, &Opening { token: Some(&token), ..opening("b") }).expect("joins");
    assert_eq!(fs::read_to_string(store.directory().join("node.key")).expect("kept"), drafted);
}

#[test]
fn a_node_that_was_alone_moves_with_its_old_log_put_away() {
    let (master, token) = cluster();
    let (folder, store) = scratch();
    let alone = Identity::open(&store, &opening("b")).expect("founds").0;
    fs::create_dir(folder.path().join("master")).expect("a log");
    let (joined, opened) = Identity::open(&store, &Opening { token: Some(&token), ..opening("b") }).expect("joins");
    assert_eq!(joined.cluster(), master.cluster());
    let Opened::Joined { archived: Some(archive) } = opened else { panic!("{opened:?}") };
    assert!(archive.join("master").is_dir() && !folder.path().join("master").exists());
    let old = fs::read_to_string(archive.join("identity/cluster.crt")).expect("kept");
    assert!(old.contains("BEGIN CERTIFICATE") && alone.cluster() != joined.cluster());
}

#[test]
fn a_node_that_others_belong_to_moves_only_when_told_to() {
    let (master, token) = cluster();
    let (_folder, store) = scratch();
    let own = Identity::open(&store, &opening("b")).expect("founds").0;
    let mut members = exo_identity::Members::default();
    members.admitted.insert(node("c"), own.key_fingerprint());
    store.save_members(&members).expect("saves");
    let opening = Opening { token: Some(&token), ..opening("b") };
    let refused = Identity::open(&store, &opening).expect_err("refused");
    assert!(matches!(&refused, IdentityError::OtherCluster { .. }), "{refused}");
    assert!(refused.to_string().contains("exo cluster join"), "{refused}");
    let moved = Identity::join(&store, &opening, &token).expect("joins").0;
    assert_eq!(moved.cluster(), master.cluster());
}

#[test]
fn a_used_token_and_a_stranger_that_answers_are_told() {
    let (master, token) = cluster();
    let (_folder, store) = scratch();
    let used = readdressed(&token, &desk(&master, &token, Some("c")));
    let refused = Identity::open(&store, &Opening { token: Some(&used), ..opening("b") }).expect_err("refused");
    let kind = match refused {
        IdentityError::Join(JoinError::Refused { code, .. }) => code,
        other => panic!("{other}"),
    };
    assert_eq!(kind, RefusalKind::UsedToken);

    let stranger = Identity::found(node("x"), "lab", SystemTime::now()).expect("founds");
    let fooled = readdressed(&token, &desk(&stranger, &token, None));
    let refused = Identity::open(&store, &Opening { token: Some(&fooled), ..opening("b") }).expect_err("refused");
    assert!(matches!(refused, IdentityError::Join(JoinError::WrongCluster { .. })), "{refused}");
    assert!(store.load().expect("readable").is_none(), "nothing half done stays");
}

#[test]
fn an_authority_renews_itself_and_others_ask_even_when_expired() {
    let (_folder, store) = scratch();
    let now = SystemTime::now();
    let own = Identity::open(&store, &Opening { now: now - 40 * DAY, ..opening("a") }).expect("founds").0;
    assert!(own.not_after() < now);
    let (renewed, opened) = Identity::open(&store, &opening("a")).expect("opens");
    assert_eq!((opened, renewed.key_fingerprint()), (Opened::Renewed, own.key_fingerprint()));
    assert!(renewed.not_after() > now);

    let token = JoinToken::generate(renewed.cluster(), []).expect("a token");
    let masters = [desk(&renewed, &token, None)];
    let (_folder, store) = scratch();
    let old = renewed.vouch(node("b"), now - 40 * DAY).expect("vouches");
    fs::create_dir(store.directory()).expect("a directory");
    store.save(&old).expect("saves");
    write_rest(&store, &old);
    let (again, opened) = Identity::open(&store, &Opening { masters: &masters, ..opening("b") }).expect("opens");
    assert_eq!(opened, Opened::Renewed);
    assert!(again.not_after() > now);
}

/// The two files that are written once.
fn write_rest(store: &IdentityStore, parts: &exo_identity::IdentityParts) {
    let pem = |label: &str, der: &[u8]| {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    fs::write(store.directory().join("node.key"), pem("PRIVATE KEY", &parts.key)).expect("writes");
    fs::write(store.directory().join("cluster.crt"), pem("CERTIFICATE", &parts.authority)).expect("writes");
}

#[test]
fn an_expired_node_whom_nobody_renews_says_what_to_do() {
    let (_folder, store) = scratch();
    let master = Identity::found(node("a"), "lab", SystemTime::now()).expect("founds");
    let old = master.vouch(node("b"), SystemTime::now() - 40 * DAY).expect("vouches");
    fs::create_dir(store.directory()).expect("a directory");
    store.save(&old).expect("saves");
    write_rest(&store, &old);
    let error = Identity::open(&store, &opening("b")).expect_err("lapsed").to_string();
    assert!(error.contains("clock") && error.contains("exo cluster join"), "{error}");
}

#[test]
fn another_namespace_gets_another_certificate() {
    let (_folder, store) = scratch();
    let first = Identity::open(&store, &opening("a")).expect("founds").0;
    let (attic, opened) = Identity::open(&store, &Opening { namespace: "attic", ..opening("a") }).expect("opens");
    assert_eq!((opened, attic.namespace().as_str()), (Opened::Renewed, "attic"));
    assert_eq!(attic.cluster(), first.cluster());
    let wrong = Identity::open(&store, &Opening { namespace: "a b", ..opening("a") });
    assert!(matches!(wrong, Err(IdentityError::Namespace(_))));
}

#[test]
fn damage_is_told_with_the_file_and_the_remedy() {
    for (file, content) in [
        ("node.key", Some("nonsense")),
        ("node.key", None),
        ("node.crt", Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
        ("node.crt", None),
        ("cluster.crt", Some("")),
        ("cluster.key", Some("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")),
    ] {
        let (_folder, store) = scratch();
        Identity::open(&store, &opening("a")).expect("founds");
        let path = store.directory().join(file);
        match content {
            Some(content) => fs::write(&path, content).expect("writes"),
            None => fs::remove_file(&path).expect("removes"),
        }
        let error = Identity::open(&store, &opening("a")).expect_err(file);
        assert!(matches!(error, IdentityError::Damaged { .. }), "{file}: {error}");
        assert!(error.to_string().contains("exo cluster join"), "{error}");
    }
}

#[test]
fn an_identity_of_another_node_is_told() {
    let (_folder, store) = scratch();
    Identity::open(&store, &opening("a")).expect("founds");
    let error = Identity::open(&store, &opening("b")).expect_err("of another node").to_string();
    assert!(error.contains("node a") && error.contains("node b"), "{error}");
}

#[test]
fn a_renewal_by_another_process_is_taken_up() {
    let (_folder, store) = scratch();
    let first = Identity::open(&store, &opening("a")).expect("founds").0;
    let second = Identity::open(&store, &opening("a")).expect("finds").0;
    assert!(!second.reload(&store).expect("readable"));
    first.renew_here(&store, SystemTime::now() + DAY).expect("renews");
    assert!(second.reload(&store).expect("readable"));
    assert_eq!(second.parts(), first.parts());
}

#[test]
fn a_move_that_was_cut_off_is_ended_by_the_next_start() {
    let (folder, store) = scratch();
    let own = Identity::open(&store, &opening("a")).expect("founds").0;
    fs::create_dir(folder.path().join("archive")).expect("an archive");
    fs::rename(folder.path().join("identity"), folder.path().join("identity.next")).expect("moves");
    let (again, opened) = Identity::open(&store, &opening("a")).expect("opens");
    assert_eq!((opened, again.parts()), (Opened::Found, own.parts()));
}

#[test]
fn members_outlive_a_restart_and_damage_of_them_is_no_end() {
    let (_folder, store) = scratch();
    let own = Identity::open(&store, &opening("a")).expect("founds").0;
    let mut members = exo_identity::Members::default();
    members.revoked.insert(own.key_fingerprint(), node("b"));
    store.save_members(&members).expect("saves");
    assert_eq!(*Identity::open(&store, &opening("a")).expect("opens").0.members(), members);
    fs::write(store.directory().join("members.json"), "{").expect("writes");
    assert_eq!(store.members(), exo_identity::Members::default());
}

#[test]
fn nobody_reachable_is_told_with_each_address() {
    let (master, token) = cluster();
    let (_folder, store) = scratch();
    let closed = TcpListener::bind(("127.0.0.1", 0)).expect("a free port").local_addr().expect("bound").to_string();
    let _ = master;
    let error = refused_at(&store, &readdressed(&token, &closed));
    assert!(error.contains(&closed) && error.contains("exo cluster token"), "{error}");
}

fn refused_at(store: &IdentityStore, token: &JoinToken) -> String {
    Identity::open(store, &Opening { token: Some(token), ..opening("b") }).expect_err("refused").to_string()
}

#[test]
fn a_token_file_is_read_or_told() {
    let (folder, _) = scratch();
    let (_, token) = cluster();
    let path = folder.path().join("token");
    fs::write(&path, format!("{}\n", token.reveal())).expect("writes");
    assert_eq!(exo_identity::read_token(&path), Ok(token));
    let error = exo_identity::read_token(Path::new("/nowhere/token")).expect_err("missing").to_string();
    assert!(error.contains("/nowhere/token") && error.contains("joinTokenFile"), "{error}");
    let refused = AdmissionRefused::new(RefusalKind::Later, "soon");
    assert!(refused.kind.is_passing());
}
