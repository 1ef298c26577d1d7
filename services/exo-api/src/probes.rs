//! `GET /livez`, `GET /readyz`, `GET /metrics`.

use crate::app::App;
use exo_http::{Reply, Route};
use exo_wire::ApiError;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(crate) fn routes(app: &Arc<App>) -> Vec<Route> {
    let (ready, numbers) = (app.clone(), app.clone());
    vec![
        Route::get("/livez", |_request| async { Ok(Reply::json(r#"{"live":true}"#.to_owned())) }).open(),
        Route::get("/readyz", move |_request| {
            let reply = readiness(&ready);
            async move { reply }
        })
        .open(),
        Route::get("/metrics", move |_request| {
            let text = metrics(&numbers);
            async move { Ok(Reply::text(text)) }
        }),
    ]
}

/// Ready means: this api knows the cluster. Models that are placed are served without a master too.
fn readiness(app: &App) -> Result<Reply, ApiError> {
    let view = app.view();
    if !view.is_joined() {
        let message = "this node has not found the cluster yet";
        return Err(ApiError::new(503, "not_joined", message).retry_after(1));
    }
    let body = serde_json::json!({
        "ready": true,
        "node_id": app.node.node_id(),
        "leader": view.leader,
        "nodes": view.state.topology.nodes.len(),
    });
    Ok(Reply::json(body.to_string()))
}

/// In Prometheus' text format.
fn metrics(app: &App) -> String {
    let counters = &app.streams.counters;
    let state = app.view().state;
    let ready = state.instances.values().filter(|instance| state.is_ready(instance)).count();
    let mut text = String::new();
    for (name, kind, value) in [
        ("exo_api_generations_started_total", "counter", counters.started.load(Ordering::Relaxed)),
        ("exo_api_generations_finished_total", "counter", counters.finished.load(Ordering::Relaxed)),
        ("exo_api_generations_failed_total", "counter", counters.failed.load(Ordering::Relaxed)),
        ("exo_api_prompt_tokens_total", "counter", counters.prompt_tokens.load(Ordering::Relaxed)),
        ("exo_api_completion_tokens_total", "counter", counters.completion_tokens.load(Ordering::Relaxed)),
        ("exo_api_generations_open", "gauge", app.streams.count() as u64),
        ("exo_nodes", "gauge", state.topology.nodes.len() as u64),
        ("exo_instances_ready", "gauge", ready as u64),
    ] {
        let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
    }
    text
}
