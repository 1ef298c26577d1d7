use super::*;
use crate::members::Members;
use exo_types::DEEPEST;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

struct Case {
    master: Identity,
    token: JoinToken,
    key: Key,
    now: SystemTime,
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn case() -> Case {
    let now = SystemTime::now();
    let master = Identity::found(node("a"), "lab", now).expect("founds");
    let token = JoinToken::generate(master.cluster(), []).expect("a token");
    Case { master, token, key: Key::generate().expect("a key"), now }
}

impl Case {
    fn standing(&self) -> TokenStanding {
        let verifier = self.token.verifier().expect("a verifier").to_string();
        TokenStanding { verifier, expires: Some(self.now + HOUR), taken_by: None }
    }

    fn request(&self) -> AdmissionRequest {
        AdmissionRequest::with_token(&self.key, &node("b"), "lab", true, &self.token).expect("signs")
    }

    fn check(&self, request: &AdmissionRequest, standing: Option<TokenStanding>) -> Result<Approved, RefusalKind> {
        self.check_bytes(&request.encode().expect("encodes"), standing)
    }

    fn check_bytes(&self, bytes: &[u8], standing: Option<TokenStanding>) -> Result<Approved, RefusalKind> {
        let token = |id: &JoinTokenId| standing.clone().filter(|_| *id == self.token.id());
        Approved::check(&self.master, bytes, self.now, token).map_err(|refused| refused.kind)
    }

    fn name(&self, name: &str) -> PeerName {
        PeerName { cluster: self.master.cluster(), namespace: "lab".to_owned(), node_id: node(name) }
    }

    /// A node that was let in.
    fn admitted(&self) -> Identity {
        let approved = self.check(&self.request(), Some(self.standing())).expect("good");
        let reply = approved.grant(&self.master, self.now).expect("signs");
        let reply = AdmissionReply::decode(&reply.encode().expect("encodes")).expect("comes back");
        Identity::from_parts(&reply.into_parts(&self.key, &self.name("b")).expect("what was asked for")).expect("good")
    }
}

#[test]
fn who_has_the_token_is_let_in_with_its_own_key() {
    let case = case();
    let approved = case.check(&case.request(), Some(case.standing())).expect("good");
    assert_eq!((approved.node_id(), approved.token()), (&node("b"), Some(&case.token.id())));
    let admitted = case.admitted();
    assert_eq!(admitted.key_fingerprint(), case.key.public().fingerprint());
    assert_eq!((admitted.cluster(), admitted.node_id()), (case.master.cluster(), node("b")));
    assert!(admitted.has_authority(), "a node with a master can admit others");
}

#[test]
fn the_authority_is_for_masters_only() {
    let case = case();
    let request = AdmissionRequest::with_token(&case.key, &node("b"), "lab", false, &case.token).expect("signs");
    let reply = case.check(&request, Some(case.standing())).expect("good").grant(&case.master, case.now);
    let parts = reply.expect("signs").into_parts(&case.key, &case.name("b")).expect("good");
    assert_eq!(parts.authority_key, None);
}

#[test]
fn expired_used_unknown_and_forged_tokens_are_told_apart() {
    let case = case();
    let refused = |standing| case.check(&case.request(), standing).expect_err("refused");
    let standing = case.standing();
    assert_eq!(refused(None), RefusalKind::UnknownToken);
    assert_eq!(refused(Some(TokenStanding { expires: Some(case.now), ..standing.clone() })), RefusalKind::ExpiredToken);
    assert_eq!(refused(Some(TokenStanding { taken_by: Some(node("c")), ..standing.clone() })), RefusalKind::UsedToken);
    let other = JoinToken::generate(case.master.cluster(), []).expect("a token");
    let verifier = other.verifier().expect("a verifier").to_string();
    assert_eq!(refused(Some(TokenStanding { verifier, ..standing.clone() })), RefusalKind::ForgedToken);
    assert_eq!(
        refused(Some(TokenStanding { verifier: "nonsense".to_owned(), ..standing.clone() })),
        RefusalKind::ForgedToken
    );
    let again = TokenStanding { taken_by: Some(node("b")), ..standing };
    assert!(case.check(&case.request(), Some(again)).is_ok(), "the same node may ask again: the answer was lost");
}

#[test]
fn a_request_that_was_passed_on_serves_no_other_key_or_name() {
    let case = case();
    let thief = Key::generate().expect("a key");
    let good = case.request();
    let mut wish: Wish = unpack(&good.wish).expect("a wish");
    wish.public_key = thief.public().as_bytes().to_vec();
    let stolen =
        AdmissionRequest { proof: good.proof.clone(), ..AdmissionRequest::sign(&wish, &thief).expect("signs") };
    assert_eq!(case.check(&stolen, Some(case.standing())), Err(RefusalKind::ForgedToken));
    let unsigned = AdmissionRequest { signature: thief.sign(b"other").expect("signs"), ..good };
    assert_eq!(case.check(&unsigned, Some(case.standing())), Err(RefusalKind::Unreadable));
}

#[test]
fn another_cluster_or_namespace_is_told() {
    let case = case();
    let elsewhere = JoinToken::generate(Fingerprint::of(b"elsewhere"), []).expect("a token");
    let request = AdmissionRequest::with_token(&case.key, &node("b"), "lab", true, &elsewhere).expect("signs");
    assert_eq!(case.check(&request, Some(case.standing())), Err(RefusalKind::OtherCluster));
    let request = AdmissionRequest::with_token(&case.key, &node("b"), "attic", true, &case.token).expect("signs");
    assert_eq!(case.check(&request, Some(case.standing())), Err(RefusalKind::OtherNamespace));
}

#[test]
fn a_certificate_is_renewed_even_when_it_has_expired_and_never_after_a_revocation() {
    let case = case();
    let admitted = case.admitted();
    let request = AdmissionRequest::renewal(&admitted, "lab", true).expect("signs");
    let later = case.now + Duration::from_secs(100 * 24 * 3600);
    let approved = Approved::check(&case.master, &request.encode().expect("encodes"), later, |_| None).expect("good");
    let reply = approved.grant(&case.master, later).expect("signs");
    let parts = admitted.renewed(reply).expect("what was asked for");
    let renewed = Identity::from_parts(&parts).expect("good");
    assert!(renewed.not_after() > later && renewed.key_fingerprint() == admitted.key_fingerprint());

    let revoked = BTreeMap::from([(admitted.key_fingerprint(), node("b"))]);
    case.master.set_members(Members { revoked, ..Members::default() });
    assert_eq!(case.check(&request, None), Err(RefusalKind::Revoked));
    let others = BTreeMap::from([(node("b"), Fingerprint::of(b"another key"))]);
    case.master.set_members(Members { admitted: others, ..Members::default() });
    assert_eq!(case.check(&request, None), Err(RefusalKind::NameTaken));
}

#[test]
fn an_old_certificate_helps_its_own_key_and_name_only() {
    let case = case();
    let admitted = case.admitted();
    let (thief, certificate) = (Key::generate().expect("a key"), admitted.parts().certificate);
    let wish = |node_id: NodeId, key: &Key| Wish {
        cluster: case.master.cluster(),
        namespace: "lab".to_owned(),
        node_id,
        public_key: key.public().as_bytes().to_vec(),
        wants_authority: true,
        token: None,
        certificate: Some(certificate.clone()),
    };
    for (wish, key) in [(wish(node("b"), &thief), &thief), (wish(node("a"), &case.key), &case.key)] {
        let request = AdmissionRequest::sign(&wish, key).expect("signs");
        assert_eq!(case.check(&request, None), Err(RefusalKind::NameTaken));
    }
    let bare = Wish { certificate: None, ..wish(node("b"), &case.key) };
    let request = AdmissionRequest::sign(&bare, &case.key).expect("signs");
    assert_eq!(case.check(&request, None), Err(RefusalKind::UnknownToken));
}

#[test]
fn an_answer_for_somebody_else_is_not_taken() {
    let case = case();
    let reply = || {
        let approved = case.check(&case.request(), Some(case.standing())).expect("good");
        approved.grant(&case.master, case.now).expect("signs")
    };
    let answer = |result: Result<IdentityParts, JoinError>| assert!(matches!(result, Err(JoinError::Answer { .. })));
    answer(reply().into_parts(&Key::generate().expect("a key"), &case.name("b")));
    answer(reply().into_parts(&case.key, &case.name("c")));
    let elsewhere = PeerName { cluster: Fingerprint::of(b"elsewhere"), ..case.name("b") };
    answer(reply().into_parts(&case.key, &elsewhere));
}

#[test]
fn a_refusal_of_a_newer_version_is_still_a_refusal() {
    let text = serde_json::json!({ "Refused": { "kind": "because_of_the_weather", "message": "no" } });
    let bytes = rmp_serde::to_vec_named(&text).expect("encodes");
    let reply = AdmissionReply::decode(&bytes).expect("readable");
    assert_eq!(reply, AdmissionReply::Refused(AdmissionRefused::new(RefusalKind::Other, "no")));
}

/// The message with one more field: a list in a list in a list.
fn with_nested_field(mut message: Vec<u8>, levels: usize) -> Vec<u8> {
    message[0] += 1;
    [message, b"\xa5later".to_vec(), vec![0x91; levels], vec![1]].concat()
}

#[test]
fn messages_nested_without_end_are_refused_before_they_fill_the_stack() {
    let case = case();
    let check = |levels| {
        let request = with_nested_field(case.request().encode().expect("encodes"), levels);
        case.check_bytes(&request, Some(case.standing())).map(|_| ())
    };
    let refused = serde_json::json!({ "kind": "unreadable", "message": "no" });
    let decode = |levels| {
        let inner = with_nested_field(rmp_serde::to_vec_named(&refused).expect("encodes"), levels);
        AdmissionReply::decode(&[b"\x81\xa7Refused".to_vec(), inner].concat())
    };
    let both = || {
        assert_eq!(check(100), Ok(()));
        assert!(matches!(decode(100), Ok(AdmissionReply::Refused(_))));
        for levels in [DEEPEST, 1000] {
            assert_eq!(check(levels), Err(RefusalKind::Unreadable), "{levels} levels");
            assert!(matches!(decode(levels), Err(JoinError::Answer { .. })), "{levels} levels");
        }
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(1 << 20).spawn_scoped(scope, both).expect("starts");
        thread.join().expect("reads on a small stack");
    });
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let case = case();
        let _ = case.check_bytes(&bytes, Some(case.standing()));
        let _ = AdmissionReply::decode(&bytes);
    }

    #[test]
    fn a_changed_request_lets_nobody_in(at in 0_usize..400, change in 1_u8..=255) {
        let case = case();
        let mut bytes = case.request().encode().expect("encodes");
        let at = at % bytes.len();
        bytes[at] ^= change;
        if let Ok(approved) = case.check_bytes(&bytes, Some(case.standing())) {
            // A byte that says how something is written, and not what.
            prop_assert_eq!(approved, case.check(&case.request(), Some(case.standing())).expect("good"));
        }
    }
}
