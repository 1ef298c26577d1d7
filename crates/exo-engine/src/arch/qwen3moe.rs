//! Qwen 3 whose feed-forward networks are experts.

use super::{Architecture, Experts, qwen3::QWEN3};

pub(super) const QWEN3_MOE: Architecture = Architecture { name: "qwen3moe", experts: Experts::Always, ..QWEN3 };
