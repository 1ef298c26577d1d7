//! `POST /node/{id}/drain`, `POST /node/{id}/undrain`, `POST /node/{id}/leave`, `DELETE /node/{id}`.

use crate::app::App;
use crate::models::json;
use exo_bus::{RequestError, topics};
use exo_http::{Reply, Request, Route};
use exo_types::{Command, NodeId, RequestLeave, SessionReply};
use exo_wire::ApiError;
use std::sync::Arc;
use std::time::Duration;

/// A change of the voters waits for the others' disks.
const LEAVE_DEADLINE: Duration = Duration::from_secs(30);

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
    let (leaving, remove) = (app.clone(), app.clone());
    vec![
        Route::post("/node/{id}/leave", move |request: Request| {
            let app = leaving.clone();
            async move { leave(&app, node_id(request.param("id"))?).await }
        }),
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

/// Asks the node's own master, which asks its leader.
async fn leave(app: &App, node: NodeId) -> Result<Reply, ApiError> {
    match app.bus.request(topics::LEAVE_CLUSTER, &node, &RequestLeave {}, LEAVE_DEADLINE).await {
        Ok(SessionReply::Done) => {
            let body = serde_json::json!({ "message": "Left: it votes no more, and may be stopped.", "node_id": node });
            Ok(Reply::json(body.to_string()))
        }
        Ok(SessionReply::NotLeader { .. }) => {
            let message = "no master leads the cluster now, so that nobody can let it go; try again";
            Err(ApiError::new(503, "no_master", message).retry_after(2))
        }
        Ok(SessionReply::Refused { message }) => Err(ApiError::new(409, "refused", message)),
        Err(RequestError::Unreachable { .. }) => {
            let message = format!("node {node} has no master that answers: there is nothing to leave");
            Err(ApiError::new(404, "not_found", message))
        }
        Err(error) => Err(ApiError::new(504, "outcome_unknown", format!("{error}; GET /cluster shows who votes"))),
    }
}

fn node_id(text: &str) -> Result<NodeId, ApiError> {
    NodeId::new(text).map_err(|error| ApiError::field("node_id", "invalid_value", error.to_string()))
}
