//! `POST /node/{id}/drain`, `POST /node/{id}/undrain`, `DELETE /node/{id}`.

use crate::app::App;
use crate::models::json;
use exo_http::{Reply, Request, Route};
use exo_types::{Command, NodeId};
use exo_wire::ApiError;
use std::sync::Arc;

pub(crate) fn routes(app: &Arc<App>) -> Vec<Route> {
    let drain = |path, drained, message: &'static str| {
        let app = app.clone();
        Route::post(path, move |request: Request| {
            let app = app.clone();
            async move {
                let node_id = node_id(request.param("id"))?;
                command(&app, Command::DrainNode { node_id, drained }, message).await
            }
        })
    };
    let remove = app.clone();
    vec![
        drain("/node/{id}/drain", true, "Drained: what runs there is placed elsewhere, and nothing new comes."),
        drain("/node/{id}/undrain", false, "The node is used again."),
        Route::delete("/node/{id}", move |request: Request| {
            let app = remove.clone();
            async move {
                let node_id = node_id(request.param("id"))?;
                command(&app, Command::RemoveNode { node_id }, "Removed: nothing is kept of the node.").await
            }
        }),
    ]
}

async fn command(app: &App, command: Command, message: &str) -> Result<Reply, ApiError> {
    Ok(json(&app.command(command, message).await?))
}

fn node_id(text: &str) -> Result<NodeId, ApiError> {
    NodeId::new(text).map_err(|error| ApiError::field("node_id", "invalid_value", error.to_string()))
}
