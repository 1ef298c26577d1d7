//! `GET /state`, `GET /state/{path}`, `GET /node_id`.

use crate::app::App;
use crate::models::json;
use exo_http::{Reply, Request, Route};
use exo_wire::ApiError;
use serde_json::Value;
use std::sync::Arc;

pub(crate) fn routes(app: &Arc<App>) -> Vec<Route> {
    let (whole, part, id) = (app.clone(), app.clone(), app.clone());
    vec![
        Route::get("/state", move |_request| {
            let reply = json(&*whole.view().state);
            async move { Ok(reply) }
        }),
        Route::get("/state/{*path}", move |request: Request| {
            let reply = part_of(&part, request.param("path"));
            async move { reply }
        }),
        Route::get("/node_id", move |_request| {
            let reply = json(id.node.node_id());
            async move { Ok(reply) }
        }),
    ]
}

/// Keys and indexes, separated by slashes. Ids may hold slashes themselves, so that every key takes as much as fits.
fn part_of(app: &App, path: &str) -> Result<Reply, ApiError> {
    let state = serde_json::to_value(&*app.view().state)
        .map_err(|_| ApiError::new(500, "internal", "the state cannot be shown"))?;
    match find(&state, path.trim_end_matches('/')) {
        Some(part) => Ok(Reply::json(part.to_string())),
        None => Err(ApiError::new(404, "not_found", "the state has nothing at this path; GET /state shows all of it")),
    }
}

fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    match value {
        Value::Array(items) => {
            let (index, rest) = path.split_once('/').unwrap_or((path, ""));
            find(items.get(index.parse::<usize>().ok()?)?, rest)
        }
        Value::Object(map) => map.iter().find_map(|(key, inner)| {
            let rest = path.strip_prefix(key.as_str())?;
            let rest = if rest.is_empty() { rest } else { rest.strip_prefix('/')? };
            find(inner, rest)
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_through_keys_with_slashes_and_indexes() {
        let state = serde_json::json!({ "models": { "org": 1, "org/name": [{ "x": 2 }] }, "n": 3 });
        for (path, expect) in [
            ("n", Some("3")),
            ("models/org", Some("1")),
            ("models/org/name/0/x", Some("2")),
            ("models/org/name/1", None),
            ("models/or", None),
            ("n/x", None),
        ] {
            assert_eq!(find(&state, path).map(Value::to_string).as_deref(), expect, "{path}");
        }
    }
}
