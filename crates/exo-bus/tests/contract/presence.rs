use super::fixture::{Fixture, node, pair, within};
use exo_bus::{Message, PresenceChange, PresenceKind, PresenceWatch, RecvError, TokenId};

const ROLE: PresenceKind<String> = PresenceKind::new("role");

async fn joined<P: Message>(watch: &mut PresenceWatch<P>) -> (String, TokenId, P) {
    match within(watch.recv()).await.expect("a change") {
        PresenceChange::Joined { node, token, payload } => (node.to_string(), token, payload),
        PresenceChange::Left { node, .. } => panic!("{node} left"),
    }
}

async fn left(watch: &mut PresenceWatch<String>) -> TokenId {
    match within(watch.recv()).await.expect("a change") {
        PresenceChange::Left { token, .. } => token,
        PresenceChange::Joined { node, .. } => panic!("{node} joined"),
    }
}

pub async fn who_was_there_before_is_seen_first(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let _own = a.announce(ROLE, &"master".to_owned()).await.expect("announces");
    let _far = b.announce(ROLE, &"worker".to_owned()).await.expect("announces");
    let mut watch = a.watch(ROLE).await.expect("watches");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (node, _, payload) = joined(&mut watch).await;
        seen.push((node, payload));
    }
    seen.sort();
    assert_eq!(seen, [("a".to_owned(), "master".to_owned()), ("b".to_owned(), "worker".to_owned())]);
}

pub async fn a_changed_payload_is_seen_without_leaving(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let mut watch = a.watch(ROLE).await.expect("watches");
    let mut token = b.announce(ROLE, &"worker".to_owned()).await.expect("announces");
    let (_, first, _) = joined(&mut watch).await;
    token.update(&"master".to_owned()).await.expect("updates");
    let (_, second, payload) = joined(&mut watch).await;
    assert_eq!((&first, payload.as_str()), (&second, "master"));
    drop(token);
    assert_eq!(left(&mut watch).await, first);
}

pub async fn a_dropped_token_leaves(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let mut watch = a.watch(ROLE).await.expect("watches");
    let token = b.announce(ROLE, &"worker".to_owned()).await.expect("announces");
    let (_, id, _) = joined(&mut watch).await;
    assert_eq!(&id, token.id());
    drop(token);
    assert_eq!(left(&mut watch).await, id);
}

pub async fn a_closed_bus_leaves(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let mut watch = a.watch(ROLE).await.expect("watches");
    let token = b.announce(ROLE, &"worker".to_owned()).await.expect("announces");
    joined(&mut watch).await;
    within(b.close()).await;
    assert_eq!(&left(&mut watch).await, token.id());
}

pub async fn a_dropped_bus_leaves(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let mut watch = a.watch(ROLE).await.expect("watches");
    let token = b.announce(ROLE, &"worker".to_owned()).await.expect("announces");
    let (_, id, _) = joined(&mut watch).await;
    drop((b, token));
    assert_eq!(left(&mut watch).await, id);
}

pub async fn two_processes_of_one_node_leave_one_by_one(fixture: &impl Fixture) {
    let (a, b) = pair(fixture).await;
    let second = fixture.join("b").await;
    super::fixture::meet(&a, &second).await;
    let mut watch = a.watch(ROLE).await.expect("watches");
    let first_token = b.announce(ROLE, &"worker".to_owned()).await.expect("announces");
    joined(&mut watch).await;
    let second_token = second.announce(ROLE, &"api".to_owned()).await.expect("announces");
    assert_eq!(joined(&mut watch).await.0, node("b").to_string());
    drop(second_token);
    assert_ne!(&left(&mut watch).await, first_token.id());
}

pub async fn a_payload_of_another_shape_is_told_and_skipped(fixture: &impl Fixture) {
    const NUMBER: PresenceKind<u32> = PresenceKind::new("role");
    let (a, b) = pair(fixture).await;
    let mut watch = a.watch(NUMBER).await.expect("watches");
    let _text = b.announce(ROLE, &"worker".to_owned()).await.expect("announces");
    assert!(matches!(within(watch.recv()).await, Err(RecvError::Undecodable { name: "role", .. })));
    let _number = b.announce(NUMBER, &7).await.expect("announces");
    assert_eq!(joined(&mut watch).await.2, 7);
}
