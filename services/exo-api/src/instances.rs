//! Placing models and taking them away.

use crate::app::App;
use crate::models::json;
use crate::{await_ready, previews};
use exo_http::{Reply, Request, Route};
use exo_types::{Command, InstanceId};
use exo_wire::{ApiError, parse_create_instance, parse_place_instance};
use std::sync::Arc;

pub(crate) fn routes(app: &Arc<App>) -> Vec<Route> {
    let (place, create, delete) = (app.clone(), app.clone(), app.clone());
    let (one, wait, preview) = (app.clone(), app.clone(), app.clone());
    vec![
        Route::post("/place_instance", move |request| place_one(place.clone(), request)).counted(),
        Route::post("/instance", move |request| create_one(create.clone(), request)).counted(),
        Route::get("/instance/await", move |request| {
            let reply = await_ready::reply(&wait, &request);
            async move { reply }
        }),
        Route::get("/instance/previews", move |request| {
            let reply = previews::reply(&preview, &request);
            async move { reply }
        }),
        Route::get("/instance/{*id}", move |request: Request| {
            let reply = show(&one, request.param("id"));
            async move { reply }
        }),
        Route::delete("/instance/{*id}", move |request| delete_one(delete.clone(), request)),
    ]
}

/// Answers when the master has decided: a placement that cannot be is refused here and now.
async fn place_one(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let place = parse_place_instance(&request.body)?;
    let accepted = app.command(Command::PlaceInstance(place), "Placed; the runners are loading.").await?;
    Ok(json(&accepted))
}

async fn create_one(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let instance = parse_create_instance(&request.body)?;
    let card = instance.model_card().clone();
    let mut accepted = app.command(Command::CreateInstance { instance }, "Created; the runners are loading.").await?;
    accepted.model_card = Some(card);
    Ok(json(&accepted))
}

async fn delete_one(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let instance_id = instance_id(request.param("id"))?;
    let accepted = app.command(Command::DeleteInstance { instance_id }, "Deleted; the runners are ending.").await?;
    Ok(json(&accepted))
}

fn show(app: &App, id: &str) -> Result<Reply, ApiError> {
    let id = instance_id(id)?;
    match app.view().state.instances.get(&id) {
        Some(instance) => Ok(json(instance)),
        None => {
            Err(ApiError::new(404, "not_found", format!("there is no instance {id}; GET /state/instances lists them")))
        }
    }
}

fn instance_id(text: &str) -> Result<InstanceId, ApiError> {
    InstanceId::new(text).map_err(|error| ApiError::field("instance_id", "invalid_value", error.to_string()))
}
