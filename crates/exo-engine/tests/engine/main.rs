//! The engine on generated models: against a plain reference, in batches, in stages, and with bad input.

mod agreement;
mod architectures;
mod batch;
mod constrained;
mod embeddings;
mod encoder;
mod guide;
mod hostile;
mod hugging_face;
mod no_numbers;
mod pipeline;
mod reference;
mod requests;
mod resume;
mod reuse;
mod support;
mod tensor;
mod turns;
