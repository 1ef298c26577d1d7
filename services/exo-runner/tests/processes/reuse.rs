//! What was computed for one request serves others that begin the same.

use crate::{host, model, order, request, sharing, started};
use exo_engine::BLOCK;
use exo_runner_host::Load;
use exo_types::Prompt;

#[tokio::test]
async fn what_chats_begin_with_is_computed_once_by_all_ranks() {
    let (host, model) = (host(), model());
    let instructions = "Say what you know, and no more than that. ".repeat(12);
    let chat = |id: &str| request(id, Prompt::Text(format!("{instructions}{id}")), 12);
    let without = Load { prefix_reuse: false, ..order(&model.path(), 0, 1) };
    let (mut without, _) = started(&host, std::iter::once(without)).await;
    let ids = ["first", "second", "third", "fourth"];
    for (stages, size) in [(2, 1), (1, 2)] {
        let mut ranks = sharing(&host, &model.path(), stages, size).await;
        for id in ids {
            let (expect, answer) = (without[0].ask(chat(id)).await, ranks[0].ask(chat(id)).await);
            assert_eq!((answer.error, answer.tokens), (None, expect.tokens), "{id}, {stages} stages of {size} ranks");
            let begins_as_another = id != ids[0];
            assert_eq!(answer.usage.cached_tokens >= 2 * BLOCK as u32, begins_as_another, "{id}: {:?}", answer.usage);
            assert_eq!(expect.usage.cached_tokens, 0);
        }
    }
}
