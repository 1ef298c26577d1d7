//! The model that comes with the project: a trained one, with real statistics.

use std::path::{Path, PathBuf};

use exo_engine::{Engine, Finish, GenerateRequest, Prompt};
use exo_kernels::{Isa, KvFormat};
use exo_text::ChatMessage;

use crate::support::{options, request, run};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/exo-guide.gguf")
}

fn load(isa: Isa) -> Engine {
    load_keeping(KvFormat::F16, isa)
}

fn load_keeping(kv_format: KvFormat, isa: Isa) -> Engine {
    let options = exo_engine::EngineOptions { isa: Some(isa), context: 256, kv_format, ..options() };
    Engine::load(&path(), &options, &mut |_| {}).expect("the model of the project")
}

#[test]
fn it_answers_and_ends_its_answer_on_every_instruction_set() {
    for isa in Isa::available() {
        let mut engine = load(isa);
        let prompt = Prompt::Chat(vec![ChatMessage::new("user", "What is exo?")].into());
        engine.submit(GenerateRequest { ignore_eos: false, ..request(1, prompt, 100) }).expect("accepted");
        let answer = run(&mut engine).remove(&1).expect("answered");
        assert_eq!(answer.finish, Some(Finish::Stop), "{isa}: {}", answer.text);
        assert!(answer.text.contains("Linux machines"), "{isa}: {}", answer.text);
    }
}

#[test]
fn it_predicts_its_own_language_much_better_than_noise() {
    let mut engine = load(Isa::detect());
    let mut perplexity = |text| engine.perplexity(text).expect("computes").value();
    let own = perplexity("exo joins Linux machines into one encrypted cluster that serves language models.");
    let noise = perplexity("qzx vvk 81 jjq! wpl oo ghee trk; zzu 0x9 plq hq vum brr tkk 77 xxn pp yq.");
    assert!(own * 10.0 < noise, "{own} and {noise}");
}

#[test]
fn keys_and_values_as_bytes_predict_as_well() {
    let text = "exo joins Linux machines into one encrypted cluster that serves language models. ".repeat(8);
    for isa in Isa::available() {
        let loss = |format| load_keeping(format, isa).perplexity(&text).expect("computes").loss;
        let (halves, bytes) = (loss(KvFormat::F16), loss(KvFormat::Q8));
        assert!(bytes != halves && (bytes / halves - 1.0).abs() < 5e-3, "{isa}: {halves} and {bytes} nats");
    }
}
