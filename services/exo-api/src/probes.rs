//! `GET /livez`, `GET /readyz`, `GET /metrics`.

use crate::app::App;
use crate::metrics::metrics;
use crate::other_clusters::OtherClusters;
use exo_http::{Reply, Route};
use exo_telemetry::METRICS_MEDIA_TYPE;
use exo_wire::ApiError;
use std::sync::Arc;

pub(crate) fn routes(app: &Arc<App>) -> Vec<Route> {
    let (ready, app) = (app.clone(), app.clone());
    vec![
        Route::get("/livez", |_request| async { Ok(Reply::json(r#"{"live":true}"#.to_owned())) }).open(),
        Route::get("/readyz", move |_request| {
            let reply = readiness(&ready);
            async move { reply }
        })
        .open(),
        Route::get("/metrics", move |_request| {
            let app = app.clone();
            async move { Ok(Reply::text_of(METRICS_MEDIA_TYPE, metrics(&app).await.render())) }
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
        "other_clusters": OtherClusters::of(app),
    });
    Ok(Reply::json(body.to_string()))
}
