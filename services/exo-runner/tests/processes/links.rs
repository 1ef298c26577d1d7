//! With which nodes ranks link, and with which not, or not any more.

use crate::{CONTEXT, LAYERS, Rank, connect, found, host_of, model, node, order, order_links, shared, text, waiting};
use exo_identity::{Identity, Members};
use exo_runner_host::{HostMessage, Load, RunnerMessage};
use exo_types::{ErrorCode, FinishReason};
use std::time::{Duration, SystemTime};

/// Another node of the same cluster, with a certificate of that time.
fn admitted(first: &Identity, name: &str, when: SystemTime) -> Identity {
    Identity::from_parts(&first.vouch(node(name), when).expect("vouches")).expect("good")
}

/// Gives a node a new certificate, and waits until its rank has it: the renewal is told before the ping.
async fn renewed(node: &Identity, first: &Identity, rank: &mut Rank) {
    let parts = first.vouch(node.node_id(), SystemTime::now()).expect("vouches");
    node.replace(&parts).expect("good");
    rank.send(HostMessage::Ping);
    assert!(matches!(rank.message().await, RunnerMessage::Progress { .. }));
}

#[tokio::test]
async fn links_to_a_node_that_is_thrown_out_close_at_once_and_are_not_made_again() {
    let model = model();
    // Parts of layers in a row, and ranks that share layers; while something is asked, and while nothing is.
    for (stages, size, is_asked) in [(2, 1, true), (1, 2, true), (1, 2, false)] {
        let first = found("a");
        let second = admitted(&first, "b", SystemTime::now());
        let hosts = [host_of(&first), host_of(&second)];
        let orders = hosts.iter().zip(0..).map(|(host, rank)| {
            (host, Load { shard: shared(rank, stages, size), ..order(&model.path(), rank, LAYERS) })
        });
        let (mut ranks, loaded) = waiting(orders).await;
        connect(&mut ranks, &loaded).await;
        if is_asked {
            ranks[0].send(HostMessage::Generate(text("lost", CONTEXT - 100)));
            ranks[0].first_token("lost").await;
        }
        // The node that is thrown out is not told.
        let revoked = [(second.key_fingerprint(), node("b"))].into();
        assert!(first.set_members(Members { revoked, ..Members::default() }));
        if is_asked {
            let answer = ranks[0].answer("lost").await;
            assert_eq!(answer.error, Some(ErrorCode::PeerLost));
        }
        let again = [ranks[0].loaded().await, ranks[1].loaded().await];
        assert!(again[0].1 > loaded[0].1, "{stages} stages of {size}");
        order_links(&ranks, &again);
        let refused = ranks[0].loaded().await;
        assert!(refused.1 > again[0].1, "a node that is out is not linked to again");
    }
}

#[tokio::test]
async fn ranks_that_waited_past_a_renewal_show_the_new_certificate_and_links_outlive_the_next() {
    let model = model();
    let first = found("a");
    let ended = SystemTime::now() - Duration::from_secs(40 * 24 * 3600);
    let second = admitted(&first, "b", ended);
    let hosts = [host_of(&first), host_of(&second)];
    let orders = hosts.iter().zip(0..).map(|(host, rank)| (host, order(&model.path(), rank, 2)));
    let (mut ranks, loaded) = waiting(orders).await;
    // Both call each other: the certificate that ended would be refused at either end.
    renewed(&second, &first, &mut ranks[1]).await;
    connect(&mut ranks, &loaded).await;
    ranks[0].send(HostMessage::Generate(text("on", 400)));
    ranks[0].first_token("on").await;
    renewed(&second, &first, &mut ranks[1]).await;
    let answer = ranks[0].answer("on").await;
    assert_eq!((answer.error, answer.finish), (None, Some(FinishReason::Length)), "{}", answer.reason);
}
