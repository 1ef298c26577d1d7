//! Which life of each other ranks link to.

use crate::{DEADLINE, LAYERS, connect, host, model, order, order_links_to, shared, text, waiting};
use exo_runner_host::{HostMessage, Load};
use exo_types::FinishReason;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A rank and where it listens.
type Address = (Option<String>, u64);

/// The life before, which listened there too.
fn earlier((endpoint, incarnation): &Address) -> Address {
    (endpoint.clone(), incarnation - 1)
}

/// The life before, where nobody listens any more.
fn left((_, incarnation): &Address) -> Address {
    (Some("127.0.0.1:1".to_owned()), incarnation - 1)
}

#[tokio::test]
async fn ranks_that_call_lives_that_are_gone_connect_when_they_are_told_of_the_next() {
    let (host, model) = (host(), model());
    // Parts of layers in a row, and ranks that share layers.
    for (stages, size) in [(3, 1), (1, 2)] {
        for gone in [earlier, left] {
            let orders = (0..stages * size)
                .map(|rank| (&host, Load { shard: shared(rank, stages, size), ..order(&model.path(), rank, LAYERS) }));
            let (mut ranks, loaded) = waiting(orders).await;
            let shown: Vec<Address> = loaded.iter().map(gone).collect();
            order_links_to(&ranks, &loaded, &shown);
            // In the incarnation in which they were told wrongly: nobody has to be told of another one.
            connect(&mut ranks, &loaded).await;
            ranks[0].send(HostMessage::Generate(text("on", 8)));
            let answer = ranks[0].answer("on").await;
            assert_eq!((answer.error, answer.finish), (None, Some(FinishReason::Length)), "{stages} of {size}");
        }
    }
}

#[tokio::test]
async fn an_order_that_comes_when_all_are_linked_disturbs_nothing() {
    let (host, model) = (host(), model());
    let orders = (0..2).map(|rank| (&host, order(&model.path(), rank, 2)));
    let (mut ranks, loaded) = waiting(orders).await;
    connect(&mut ranks, &loaded).await;
    // If they were called, that would fail at once.
    let shown: Vec<Address> =
        loaded.iter().map(|(_, incarnation)| (Some("gone".to_owned()), incarnation + 1)).collect();
    order_links_to(&ranks, &loaded, &shown);
    ranks[0].send(HostMessage::Generate(text("on", 400)));
    let answer = ranks[0].answer("on").await;
    assert_eq!((answer.error, answer.finish), (None, Some(FinishReason::Length)), "{}", answer.reason);
}

#[tokio::test]
async fn a_rank_that_is_refused_waits_to_be_told_of_the_life_that_is_there() {
    let (host, model) = (host(), model());
    let orders = (0..2).map(|rank| (&host, order(&model.path(), rank, 2)));
    let (mut ranks, loaded) = waiting(orders).await;
    let between = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let through = between.local_addr().expect("it is bound").to_string();
    let shown = [loaded[0].clone(), (Some(through), loaded[1].1 - 1)];
    order_links_to(&ranks[..1], &loaded, &shown);
    let refused = async {
        let (mut caller, _) = between.accept().await.expect("it is called");
        let mut called = TcpStream::connect(loaded[1].0.as_deref().expect("it listens")).await.expect("it is reached");
        // Both ends hung up: the caller has heard.
        let _ended = copy_bidirectional(&mut caller, &mut called).await;
    };
    timeout(DEADLINE, refused).await.expect("a refusal in time");
    // In the same incarnation.
    connect(&mut ranks, &loaded).await;
}

#[tokio::test]
async fn a_rank_of_an_earlier_life_is_not_connected_to() {
    let (host, model) = (host(), model());
    let orders = (0..2).map(|rank| (&host, order(&model.path(), rank, 2)));
    let (mut ranks, loaded) = waiting(orders).await;
    let shown: Vec<Address> = loaded.iter().map(earlier).collect();
    order_links_to(&ranks[..1], &loaded, &shown);
    let (_, anew) = ranks[0].loaded().await;
    assert!(anew > loaded[0].1, "refused, not told of another life for a while, and listening anew");
}
