//! Pure. Text around the engine: tokenizers, chat templates, stop strings, sampling.
