//! Test. What tests share: generated models, free ports, processes that never outlive their test.
//! Knows nothing of clusters; it never sleeps.

mod agreement;
mod model;
mod reference;

pub use agreement::{Agreement, AgreementBound, VECTOR_BOUND, distance};
pub use model::{Architecture, CHAT_TEMPLATE, HfStorage, ModelSpec, ModelTokens, Random, TemporaryModel};
pub use reference::{
    REFERENCE_TEXTS, ReferenceCase, ReferenceContinuation, ReferenceEncoding, ReferenceLogits, ReferenceText,
};
