//! The desk: what the log knows of tokens and keys decides who is let in, and what is refused is counted.

use super::harness::*;
use exo_bus::{MemoryNetwork, topics};
use exo_identity::{AdmissionReply, AdmissionRequest, Identity, JoinToken, Key, PeerName, RefusalKind};
use exo_master::{AdmissionDesk, MasterOptions, MemoryHome};
use exo_node::Role;
use exo_types::{Blob, Command, JoinTokenRecord, Millis};
use std::time::{Duration, SystemTime};

struct Desk {
    master: Identity,
    member: Member,
    _desk: AdmissionDesk,
    _running: Master,
}

async fn desk(network: &MemoryNetwork) -> Desk {
    let running = master(network, "a", &MemoryHome::new(1), MasterOptions::default()).await;
    let member = member(network, "a", Role::Master).await;
    member.until("somebody leads", |view| view.leader.is_some() && view.is_joined()).await;
    let identity = Identity::found(node_id("a"), "lab", SystemTime::now()).expect("founds");
    let desk = AdmissionDesk::open(identity.clone(), &member.bus, member.node.clone()).await.expect("opens");
    Desk { master: identity, member, _desk: desk, _running: running }
}

impl Desk {
    /// A token that the log knows.
    async fn token(&self, expires: Option<Millis>) -> JoinToken {
        let token = JoinToken::generate(self.master.cluster(), []).expect("a token");
        let public_key = token.verifier().expect("a verifier").to_string();
        let record = JoinTokenRecord { id: token.id(), public_key, created: Millis(0), expires, reusable: false };
        let reply = self.member.send(Command::CreateJoinToken { token: record }).await.expect("answered");
        assert!(is_accepted(&reply), "{reply:?}");
        let id = token.id();
        self.member.until("known", |view| view.state.identity.join_tokens.contains_key(&id)).await;
        token
    }

    async fn ask(&self, name: &str, key: &Key, token: &JoinToken) -> AdmissionReply {
        let request = AdmissionRequest::with_token(key, &node_id(name), "lab", false, token).expect("signs");
        let reply = self.master.desk().ask(request.encode().expect("encodes")).await.expect("somebody sits there");
        AdmissionReply::decode(&reply).expect("a reply")
    }

    /// What is said to a node that wants another certificate.
    async fn renew(&self, network: &MemoryNetwork, holder: &Identity) -> AdmissionReply {
        let request = AdmissionRequest::renewal(holder, "lab", false).expect("signs");
        let bus = network.join(holder.node_id()).await.expect("joins");
        let request = Blob(request.encode().expect("encodes"));
        let reply = bus.request(topics::RENEW, &node_id("a"), &request, SECOND * 20).await.expect("answered");
        AdmissionReply::decode(&reply.0).expect("a reply")
    }

    fn counted(&self, counter: &str) -> u64 {
        self.member.bus.links().refused.get(counter).copied().unwrap_or(0)
    }

    /// The identity that a good answer makes.
    fn holder(&self, name: &str, key: &Key, reply: AdmissionReply) -> Identity {
        let cluster = self.master.cluster();
        let name = PeerName { cluster, namespace: "lab".to_owned(), node_id: node_id(name) };
        Identity::from_parts(&reply.into_parts(key, &name).expect("let in")).expect("good")
    }
}

fn refused(reply: &AdmissionReply) -> Option<RefusalKind> {
    match reply {
        AdmissionReply::Refused(refused) => Some(refused.kind),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_expired_or_was_used_or_forged_lets_nobody_in() {
    let network = MemoryNetwork::new(1);
    let desk = desk(&network).await;
    let (key, other) = (Key::generate().expect("a key"), Key::generate().expect("a key"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let millis = |time: Duration| Some(Millis(u64::try_from(time.as_millis()).expect("a time of this age")));
    let hour = SECOND * 3600;
    let expired = desk.token(millis(now - hour)).await;
    assert_eq!(refused(&desk.ask("b", &key, &expired).await), Some(RefusalKind::ExpiredToken));
    let token = desk.token(millis(now + hour)).await;
    assert_eq!(refused(&desk.ask("b", &key, &token).await), None);
    desk.member.until("it is used", |view| view.state.identity.join_tokens[&token.id()].is_used_up()).await;
    assert_eq!(refused(&desk.ask("b", &key, &token).await), None, "an answer may be lost, and is given again");
    assert_eq!(refused(&desk.ask("c", &other, &token).await), Some(RefusalKind::UsedToken));
    let unknown = JoinToken::generate(desk.master.cluster(), []).expect("a token");
    assert_eq!(refused(&desk.ask("c", &other, &unknown).await), Some(RefusalKind::UnknownToken));
    // The link of a visitor counts under these names.
    let kinds = [RefusalKind::ExpiredToken, RefusalKind::UsedToken, RefusalKind::ForgedToken];
    let counters = ["join_expired_token", "join_used_token", "join_forged_token"];
    assert_eq!(kinds.map(RefusalKind::counter), counters);
}

#[tokio::test(start_paused = true)]
async fn a_refused_renewal_is_counted() {
    let network = MemoryNetwork::new(2);
    let desk = desk(&network).await;
    let (first, second) = (Key::generate().expect("a key"), Key::generate().expect("a key"));
    let (one, two) = (desk.token(None).await, desk.token(None).await);
    let holder = desk.holder("b", &first, desk.ask("b", &first, &one).await);
    assert_eq!(refused(&desk.renew(&network, &holder).await), None);
    let revoke = Command::RevokeNode { node_id: node_id("b") };
    assert!(is_accepted(&desk.member.send(revoke).await.expect("answered")));
    desk.member.until("it is out", |view| !view.state.identity.revoked.is_empty()).await;
    assert_eq!(refused(&desk.renew(&network, &holder).await), Some(RefusalKind::Revoked));
    assert_eq!(desk.counted("join_revoked"), 1);
    // Somebody else is called so by now.
    let _namesake = desk.holder("b", &second, desk.ask("b", &second, &two).await);
    let stranger = Identity::from_parts(&desk.master.vouch(node_id("b"), SystemTime::now()).expect("signs"));
    desk.member.until("it is in", |view| view.state.identity.admitted.contains_key(&node_id("b"))).await;
    let reply = desk.renew(&network, &stranger.expect("good")).await;
    assert_eq!(refused(&reply), Some(RefusalKind::NameTaken));
    assert_eq!((desk.counted("join_name_taken"), desk.counted("join_revoked")), (1, 1));
}
