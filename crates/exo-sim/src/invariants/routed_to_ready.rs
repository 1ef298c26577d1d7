//! A request only goes to an instance all of whose runners are ready, as far as the api that sends it can know.

use super::Holds;
use exo_node::View;
use exo_types::GenerateRequest;

pub(crate) const NAME: &str = "requests go to ready runners";

/// `view` is that of the sender, when it sends.
pub(crate) fn check(who: &str, view: &View, request: &GenerateRequest) -> Holds {
    let id = &request.instance_id;
    match view.state.instances.get(id) {
        Some(instance) if view.state.is_ready(instance) => Ok(()),
        Some(_) => Err(format!("{who} sends a request to instance {id}, which is not ready")),
        None => Err(format!("{who} sends a request to instance {id}, which does not exist")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{AnsweredTokens, InstanceId, Prompt, ReplyOptions, RequestId, SamplingParams, Turn};

    #[test]
    fn a_request_to_nobody_is_seen() {
        let request = GenerateRequest {
            request_id: RequestId::new("r").expect("a good id"),
            instance_id: InstanceId::new("gone").expect("a good id"),
            prompt: Prompt::Text(String::new()),
            sampling: SamplingParams::default(),
            max_tokens: None,
            stop: Vec::new(),
            reply: ReplyOptions::default().into(),
            deadline_ms: 1,
            answered: AnsweredTokens::default(),
            asked_at: None,
            turn: Turn::default(),
        };
        assert!(check("a", &View::default(), &request).is_err());
    }
}
