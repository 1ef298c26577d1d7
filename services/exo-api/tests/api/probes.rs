//! What probes are told before there is a cluster, and after.

use crate::cluster::{Cluster, node};
use crate::{PATIENCE, config};
use exo_api::{Api, ApiContext};
use exo_bus::MemoryNetwork;
use exo_node::{Identity, Node, Role};
use exo_telemetry::Notifier;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn an_api_that_found_no_cluster_lives_and_is_not_ready_until_it_finds_one() {
    let network = MemoryNetwork::new(7);
    let bus = network.join(node("api")).await.expect("the memory bus is open to all");
    let identity = Identity { node_id: node("api"), role: Role::Api };
    let handle = Node::join(&bus, identity).await.expect("the memory bus is open to all");
    let status = Notifier::from_environment().service("api");
    let context = ApiContext { config: config(""), bus, node: handle.clone(), status };
    let api = Api::bind(context).await.expect("a free port");
    let (address, shutdown) = (api.address(), CancellationToken::new());
    let mut task = JoinSet::new();
    task.spawn(api.serve(shutdown.clone()));
    let ask = async |path: &str| {
        let response = reqwest::get(format!("http://{address}{path}")).await.expect("it answers");
        let again = response.headers().get("retry-after").map(|value| value.to_str().expect("a number").to_owned());
        (response.status().as_u16(), again, response.json::<Value>().await.expect("JSON"))
    };

    let (status, again, body) = ask("/readyz").await;
    assert_eq!((status, again.as_deref()), (503, Some("1")), "{body}");
    assert_eq!(body["error"]["code"], "not_joined", "{body}");
    let (status, _, body) = ask("/livez").await;
    assert_eq!((status, &body["live"]), (200, &Value::Bool(true)));

    let _cluster = Cluster::start_on(network).await;
    let mut view = handle.view();
    let joined = view.wait_for(exo_node::View::is_joined);
    timeout(PATIENCE, joined).await.expect("it finds the cluster").expect("the node lives");
    let (status, again, body) = ask("/readyz").await;
    assert_eq!((status, again, &body["leader"]), (200, None, &Value::from("master")), "{body}");
    shutdown.cancel();
    let ended = timeout(PATIENCE, task.join_next()).await.expect("it ends").expect("one task");
    ended.expect("without a panic").expect("without an error");
}
