//! Embeddings: vectors of texts, computed beside answers.

use exo_engine::{
    EmbeddingOptions, Engine, EngineOptions, Finish, GenerateRequest, LoadError, Output, Pooling, Prompt, ReplyOptions,
};
use exo_gguf::{GgufFile, dequantize};
use exo_testkit::{Architecture, ModelSpec, TemporaryModel};

use crate::{
    pipeline::load_chain,
    support::{generate, load, logits, options, request, tokens, write},
};

fn wanted(id: u64, prompt: Prompt, pooling: Option<Pooling>) -> GenerateRequest {
    let reply = ReplyOptions { embedding: Some(EmbeddingOptions { pooling }), ..ReplyOptions::default() };
    GenerateRequest { max_tokens: None, reply, ..request(id, prompt, 1) }
}

/// All outputs until nothing is left.
fn outputs(engine: &mut Engine) -> Vec<Output> {
    let mut outputs = Vec::new();
    while !engine.is_idle() {
        outputs.extend(engine.step().expect("computes"));
    }
    outputs
}

fn embed(engine: &mut Engine, prompt: Prompt, pooling: Option<Pooling>) -> Vec<f32> {
    engine.submit(wanted(1, prompt, pooling)).expect("accepted");
    let outputs = outputs(engine);
    let [output] = outputs.as_slice() else { panic!("{} outputs", outputs.len()) };
    assert_eq!((&output.finish, output.token_ids.len(), output.text.as_str()), (&Some(Finish::Stop), 0, ""));
    output.embedding.clone().expect("a vector")
}

/// The logits that a state has: the rows of the head times it.
fn through_head(model: &TemporaryModel, state: &[f32]) -> Vec<f64> {
    let file = GgufFile::open(&model.path()).expect("valid");
    let head = file.tensor("output.weight").expect("not tied");
    let rows = dequantize::to_vec(head.dtype, head.bytes);
    let product = |row: &[f32]| row.iter().zip(state).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    rows.chunks_exact(state.len()).map(product).collect()
}

fn cosine(left: &[f64], right: &[f64]) -> f64 {
    let product = |left: &[f64], right: &[f64]| left.iter().zip(right).map(|(a, b)| a * b).sum::<f64>();
    product(left, right) / (product(left, left) * product(right, right)).sqrt()
}

/// The head is linear: what it makes of the mean of states is the mean of the logits, which another way of the engine
/// computes and which is compared with other engines.
#[test]
fn a_vector_is_the_mean_or_the_last_of_the_states_that_the_head_sees() {
    for architecture in [Architecture::Llama, Architecture::Qwen3Moe, Architecture::Phi3] {
        let model = write(&ModelSpec::of(architecture));
        let mut engine = load(&model, &options());
        let prompt = tokens(5, 40);
        let rows = logits(&mut engine, &prompt);
        let sum = |rows: &[Vec<f32>]| -> Vec<f64> {
            (0..rows[0].len()).map(|token| rows.iter().map(|row| f64::from(row[token])).sum()).collect()
        };
        for (pooling, expected) in [(Pooling::Mean, sum(&rows)), (Pooling::Last, sum(&rows[39..]))] {
            let vector = embed(&mut engine, Prompt::Tokens(prompt.clone()), Some(pooling));
            let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            assert!((length - 1.0).abs() < 1e-6, "{architecture:?}: {length}");
            let alike = cosine(&through_head(&model, &vector), &expected);
            assert!(alike > 0.999_999, "{architecture:?} {pooling:?}: {alike}");
        }
    }
}

#[test]
fn chunks_stages_and_the_cache_do_not_change_a_vector() {
    let model = write(&ModelSpec::default());
    for pooling in [Pooling::Mean, Pooling::Last] {
        let prompt = || Prompt::Tokens(tokens(7, 50));
        let with = |prefill_chunk| load(&model, &EngineOptions { prefill_chunk, ..options() });
        let expected = embed(&mut with(64), prompt(), Some(pooling));
        assert_eq!(embed(&mut with(7), prompt(), Some(pooling)), expected);
        let (mut chain, _) = load_chain(&model, &[1, 2, 3], &options());
        assert_eq!(embed(&mut chain, prompt(), Some(pooling)), expected);
        let mut used = with(16);
        generate(&mut used, tokens(7, 50), 3);
        assert_eq!(embed(&mut used, prompt(), Some(pooling)), expected);
        assert_eq!(embed(&mut used, prompt(), Some(pooling)), expected);
    }
}

#[test]
fn vectors_and_answers_share_steps_and_disturb_nobody() {
    let model = write(&ModelSpec::default());
    let prompts: Vec<_> = (1..=6).map(|seed| tokens(seed, 20 + 3 * seed)).collect();
    let mut alone = load(&model, &options());
    let answers: Vec<_> = prompts.iter().map(|prompt| generate(&mut alone, prompt.clone(), 9)).collect();
    let vectors: Vec<_> =
        prompts.iter().map(|prompt| embed(&mut alone, Prompt::Tokens(prompt.clone()), Some(Pooling::Mean))).collect();
    let mut engine = load(&model, &options());
    for (index, prompt) in (0..).zip(&prompts) {
        let prompt = || Prompt::Tokens(prompt.clone());
        engine.submit(wanted(index, prompt(), Some(Pooling::Mean))).expect("accepted");
        engine.submit(request(100 + index, prompt(), 9)).expect("accepted");
    }
    let outputs = outputs(&mut engine);
    for (index, (answer, vector)) in (0..).zip(answers.iter().zip(&vectors)) {
        let tokens: Vec<u32> = outputs
            .iter()
            .filter(|output| output.id == 100 + index)
            .flat_map(|output| output.token_ids.clone())
            .collect();
        assert_eq!(&tokens, answer, "answer {index}");
        let given: Vec<_> = outputs.iter().filter(|output| output.id == index).collect();
        assert_eq!((given.len(), given[0].embedding.as_ref()), (1, Some(vector)), "vector {index}");
        assert_eq!(given[0].usage.prompt_tokens as usize, prompts[index as usize].len());
    }
}

#[test]
fn the_files_say_how_states_are_pooled_and_how_texts_end() {
    let spec = ModelSpec::default();
    let with = |pooling: u32, adds_end: bool| {
        let mut writer = spec.writer();
        writer.set("llama.pooling_type", pooling).set("tokenizer.ggml.add_eos_token", adds_end);
        let model = write(&spec);
        writer.write(&model.path()).expect("writes");
        model
    };
    let end = 271;
    let text = || Prompt::Text("then there".into());
    let model = with(3, true);
    let mut engine = load(&model, &options());
    let mut ended = engine.tokenizer().encode_prompt("then there", exo_text::ControlTokens::AsText).expect("known");
    ended.push(end);
    let vector = embed(&mut engine, text(), None);
    assert_eq!(vector, embed(&mut engine, Prompt::Tokens(ended.clone()), Some(Pooling::Last)), "the end once");
    assert_ne!(vector, embed(&mut engine, text(), Some(Pooling::Mean)));
    let mut plain = load(&with(1, false), &options());
    assert_ne!(embed(&mut plain, text(), None), vector);
    assert_eq!(embed(&mut plain, Prompt::Tokens(ended), Some(Pooling::Last)), vector);
    let error = Engine::load(&with(2, false).path(), &options(), &mut |_| {}).err().expect("of encoders");
    assert!(matches!(error, LoadError::Pooling(2)), "{error}");
}

#[test]
fn a_text_that_is_too_long_or_empty_is_refused() {
    let mut engine = load(&write(&ModelSpec::default()), &options());
    let mut refused = |tokens: Vec<u32>, expect: &str| {
        let error = engine.submit(wanted(1, Prompt::Tokens(tokens), None)).expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}");
    };
    refused(vec![], "empty");
    refused(tokens(1, 129), "129 tokens");
    refused(vec![999], "token 999");
}
