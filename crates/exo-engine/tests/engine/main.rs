//! The engine on generated models: against a plain reference, in batches, in stages, and with bad input.

mod agreement;
mod batch;
mod guide;
mod hostile;
mod pipeline;
mod reference;
mod requests;
mod support;
