//! Bodies of HTTP requests. The first byte chooses the path.

use crate::input;
use exo_types::{InstanceId, RequestId};
use exo_wire::{
    ApiError, TextRequest, parse_chat_request, parse_completion_request, parse_create_instance,
    parse_embedding_request, parse_place_instance,
};

/// Reads it; what is refused is refused with an error of a request.
pub(crate) fn run(bytes: &[u8]) {
    let (path, body) = input::choice(bytes);
    let refused = match path % 5 {
        0 => parse_chat_request(body).map(generate).err(),
        1 => parse_completion_request(body).map(|request| generate(request.text)).err(),
        2 => parse_embedding_request(body).map(drop).err(),
        3 => parse_place_instance(body).map(drop).err(),
        _ => parse_create_instance(body).map(drop).err(),
    };
    if let Some(error) = refused {
        check(&error);
    }
}

fn generate(request: TextRequest) {
    let id = RequestId::new("r").expect("a good id");
    let _ = request.generate(id, InstanceId::new("i").expect("a good id"), 0);
}

fn check(error: &ApiError) {
    assert!((400..500).contains(&error.status), "{error:?}");
    let body: serde_json::Value = serde_json::from_str(&error.to_json()).expect("an error is JSON");
    assert!(body["error"]["message"].is_string(), "{body}");
}
