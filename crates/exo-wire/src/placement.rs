//! Placing models: EXO's bodies with EXO's field names.

use crate::ApiError;
use crate::fields::{Fields, parse};
use exo_types::{CommandId, Instance, InstanceId, Memory, ModelCard, ModelId, NodeId, PlaceInstance, Sharding, TaskId};
use serde::Serialize;
use std::collections::BTreeMap;

/// The one way in which our runners are linked: a ring over TCP. EXO's name for it, which its clients send and expect.
pub const INSTANCE_META: &str = "MlxRing";

/// Body of `POST /place_instance`.
pub fn parse_place_instance(body: &[u8]) -> Result<PlaceInstance, ApiError> {
    let mut fields = parse(body)?;
    let model_id = fields.required_text("model_id")?;
    let model_id = ModelId::new(model_id).map_err(|error| invalid("model_id", &error))?;
    let sharding = match fields.text("sharding")? {
        None => Sharding::default(),
        Some(word) => parse_sharding(&word)?,
    };
    instance_meta(&mut fields)?;
    let min_nodes = fields.integer("min_nodes", 1, 1_024)?.unwrap_or(1);
    let node_ids = node_ids(&mut fields)?;
    let context_length = fields.integer("context_length", 1, i64::from(u32::MAX))?;
    fields.finish()?;
    Ok(PlaceInstance {
        model_id,
        sharding,
        min_nodes: u32::try_from(min_nodes).unwrap_or(1),
        node_ids,
        context_length: context_length.and_then(|tokens| u32::try_from(tokens).ok()),
    })
}

/// Body of `POST /instance`: `{"instance": …}`, with shards that make up the model.
pub fn parse_create_instance(body: &[u8]) -> Result<Instance, ApiError> {
    let mut fields = parse(body)?;
    let value = fields.required("instance")?;
    fields.finish()?;
    let instance: Instance = serde_json::from_value(value).map_err(|error| invalid("instance", &error))?;
    instance.check().map_err(|error| invalid("instance", &error))?;
    Ok(instance)
}

/// `Pipeline` or `Tensor`.
pub fn parse_sharding(word: &str) -> Result<Sharding, ApiError> {
    match word {
        "Pipeline" => Ok(Sharding::Pipeline),
        "Tensor" => Ok(Sharding::Tensor),
        _ => Err(invalid("sharding", &"must be \"Pipeline\" or \"Tensor\"")),
    }
}

fn instance_meta(fields: &mut Fields) -> Result<(), ApiError> {
    match fields.text("instance_meta")?.as_deref() {
        None | Some(INSTANCE_META) => Ok(()),
        Some(_) => Err(invalid("instance_meta", &format_args!("must be \"{INSTANCE_META}\" (links over TCP)"))),
    }
}

fn node_ids(fields: &mut Fields) -> Result<Vec<NodeId>, ApiError> {
    let read = |value: serde_json::Value| {
        let text = value.as_str().ok_or_else(|| invalid("node_ids", &"must be a list of node ids"))?;
        NodeId::new(text).map_err(|error| invalid("node_ids", &error))
    };
    fields.array("node_ids")?.unwrap_or_default().into_iter().map(read).collect()
}

fn invalid(param: &str, reason: &dyn std::fmt::Display) -> ApiError {
    ApiError::field(param, "invalid_value", format!("`{param}`: {reason}"))
}

/// What an accepted command answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandAccepted {
    /// For people.
    pub message: String,
    /// The command.
    pub command_id: CommandId,
    /// The instance that it made or took away.
    pub instance_id: Option<InstanceId>,
    /// What it set going.
    pub task_id: Option<TaskId>,
    /// The model, where an instance was made by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_card: Option<ModelCard>,
}

/// What a placement would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    model_id: ModelId,
    sharding: Sharding,
    instance_meta: &'static str,
    instance: Option<Instance>,
    memory_delta_by_node: Option<BTreeMap<NodeId, u64>>,
    error: Option<String>,
}

impl Preview {
    /// A placement that fits; memory in bytes on each node.
    pub fn fits(instance: Instance, memory: BTreeMap<NodeId, Memory>) -> Self {
        Self {
            model_id: instance.model_card().model_id.clone(),
            sharding: instance.sharding,
            instance_meta: INSTANCE_META,
            memory_delta_by_node: Some(memory.into_iter().map(|(node, memory)| (node, memory.in_bytes)).collect()),
            instance: Some(instance),
            error: None,
        }
    }

    /// A placement that cannot be.
    pub fn refused(model_id: ModelId, sharding: Sharding, error: String) -> Self {
        let instance_meta = INSTANCE_META;
        Self { model_id, sharding, instance_meta, instance: None, memory_delta_by_node: None, error: Some(error) }
    }
}

/// Body of `GET /instance/previews`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Previews {
    /// The likelier first.
    pub previews: Vec<Preview>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exos_own_body_is_understood() {
        let body = br#"{"model_id":"exo-guide","sharding":"Pipeline","instance_meta":"MlxRing","min_nodes":2}"#;
        let place = parse_place_instance(body).expect("EXO's client sends this");
        assert_eq!((place.model_id.as_str(), place.min_nodes, place.sharding), ("exo-guide", 2, Sharding::Pipeline));
        assert_eq!(parse_place_instance(br#"{"model_id":"m"}"#).expect("all else has defaults").min_nodes, 1);
    }

    #[test]
    fn a_wrong_body_is_refused_by_field() {
        for (body, param) in [
            (r#"{}"#, "model_id"),
            (r#"{"model_id":"a b"}"#, "model_id"),
            (r#"{"model_id":"m","sharding":"Rows"}"#, "sharding"),
            (r#"{"model_id":"m","instance_meta":"MlxJaccl"}"#, "instance_meta"),
            (r#"{"model_id":"m","min_nodes":0}"#, "min_nodes"),
            (r#"{"model_id":"m","min_nodes":1.5}"#, "min_nodes"),
            (r#"{"model_id":"m","node_ids":[1]}"#, "node_ids"),
            (r#"{"model_id":"m","nodes":2}"#, "nodes"),
        ] {
            let error = parse_place_instance(body.as_bytes()).expect_err(body);
            assert_eq!((error.status, error.param.as_deref()), (400, Some(param)), "{body}");
        }
        assert_eq!(parse_create_instance(b"{\"instance\":{}}").expect_err("empty").param.as_deref(), Some("instance"));
    }
}
