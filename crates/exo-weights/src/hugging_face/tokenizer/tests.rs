use serde_json::{Value as Json, json};

use super::*;
use exo_gguf::Array;

/// A directory with these files, and its tokenizer's metadata for a vocabulary of `count`.
fn read(count: u32, files: &[(&str, Json)]) -> Result<BTreeMap<String, Value>, DirectoryProblem> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, value) in files {
        std::fs::write(folder.path().join(name), value.to_string()).expect("writes");
    }
    let config = json!({ "model_type": "llama", "vocab_size": count });
    let config = Config::read(&config).expect("a configuration");
    let mut metadata = BTreeMap::new();
    set(folder.path(), &config, &mut metadata)?;
    Ok(metadata)
}

fn bytes_level() -> Json {
    json!({
        "added_tokens": [{ "id": 4, "content": "<|end|>", "special": true }, { "id": 5, "content": "<tool>", "special": false }],
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "use_regex": true },
        "model": { "type": "BPE", "vocab": { "a": 0, "b": 1, "ab": 2, "Ġ": 3 }, "merges": ["a b"] },
    })
}

fn sentence_pieces() -> Json {
    json!({
        "added_tokens": [{ "id": 0, "content": "<unk>", "special": true }, { "id": 1, "content": "<s>", "special": true }],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        ] },
        "post_processor": { "type": "TemplateProcessing", "single": [
            { "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } },
            { "SpecialToken": { "id": "b", "type_id": 0 } },
        ] },
        "model": {
            "type": "BPE", "byte_fallback": true, "unk_token": "<unk>",
            "vocab": { "<unk>": 0, "<s>": 1, "<0x0A>": 2, "a": 3, "b": 4, "▁": 5, "▁a": 6, "ab": 7, "▁ab": 8 },
            "merges": [["a", "b"], ["▁", "a"], ["▁a", "b"], ["▁", "ab"]],
        },
    })
}

#[test]
fn byte_level_tokens_keep_their_merges_and_kinds() {
    let settings = json!({ "eos_token": { "content": "<|end|>" }, "chat_template": [
        { "name": "tool_use", "template": "T" }, { "name": "default", "template": "D" },
    ] });
    let metadata = read(8, &[(FILE, bytes_level()), (SETTINGS_FILE, settings)]).expect("known");
    let text = |key: &str| metadata.get(key).cloned();
    assert_eq!(text("tokenizer.ggml.model"), Some("gpt2".into()));
    assert_eq!(text("tokenizer.ggml.pre"), Some("gpt-2".into()));
    assert_eq!(text("tokenizer.ggml.merges"), Some(vec!["a b".to_owned()].into()));
    assert_eq!(text("tokenizer.ggml.token_type"), Some(vec![1, 1, 1, 1, 3, 4, 5, 5].into()));
    assert_eq!(text("tokenizer.ggml.eos_token_id"), Some(4u32.into()));
    assert_eq!(text("tokenizer.ggml.add_bos_token"), Some(false.into()));
    assert_eq!(text("tokenizer.chat_template"), Some("D".into()));
    assert_eq!(text("tokenizer.exo.end_token_id"), None);
    let Some(Value::Array(Array::String(tokens))) = text("tokenizer.ggml.tokens") else { panic!("tokens") };
    assert_eq!(tokens, ["a", "b", "ab", "Ġ", "<|end|>", "<tool>", "[unused 6]", "[unused 7]"]);
}

#[test]
fn the_order_of_merges_becomes_scores() {
    let settings = json!({ "bos_token": "<s>", "unk_token": "<unk>" });
    let generation = json!({ "eos_token_id": [3, 4, 999] });
    let metadata = read(9, &[(FILE, sentence_pieces()), (SETTINGS_FILE, settings), (GENERATION_FILE, generation)]);
    let metadata = metadata.expect("known");
    let get = |name: &str| metadata.get(&format!("tokenizer.ggml.{name}")).cloned();
    let least = f32::MIN;
    assert_eq!(get("model"), Some("llama".into()));
    assert_eq!(get("scores"), Some(vec![least, least, least, least, least, least, -2.0, -1.0, -3.0].into()));
    assert_eq!(get("token_type"), Some(vec![2, 3, 6, 1, 1, 1, 1, 1, 1].into()));
    assert_eq!((get("add_space_prefix"), get("add_bos_token")), (Some(true.into()), Some(true.into())));
    let ids = ["bos", "eos", "eot", "unknown"].map(|role| get(&format!("{role}_token_id")));
    assert_eq!(ids, [1u32, 3, 4, 0].map(|id| Some(id.into())));
    assert_eq!(metadata.get("tokenizer.exo.end_token_id"), Some(&4u32.into()));
}

#[test]
fn word_rules_are_told_by_their_expressions() {
    let with = |expression: &str, whole_words: bool| {
        let mut file = bytes_level();
        file["model"]["ignore_merges"] = whole_words.into();
        file["normalizer"] = json!({ "type": "NFC" });
        file["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": expression }, "behavior": "Isolated", "invert": false },
            { "type": "ByteLevel", "add_prefix_space": false, "use_regex": false },
        ] });
        read(8, &[(FILE, file)]).map(|metadata| metadata["tokenizer.ggml.pre"].clone())
    };
    let qwen = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let llama = qwen.replace(r"|\p{N}|", r"|\p{N}{1,3}|");
    assert_eq!(with(qwen, false).expect("known"), "qwen2".into());
    assert_eq!(with(&llama, true).expect("known"), "llama-bpe".into());
    assert!(with(&llama, false).expect_err("merges count").to_string().contains("ignore_merges = false"));
    assert!(with(r"\w+", false).expect_err("unknown").to_string().contains("pre-tokenizer"));
}

#[test]
fn what_cannot_be_mapped_is_refused_with_its_name() {
    let check = |path: &str, value: Json, expect: &str| {
        let mut file =
            if path.contains("fallback") || path.contains("normalizer") { sentence_pieces() } else { bytes_level() };
        *file.pointer_mut(path).unwrap_or_else(|| panic!("{path} is there")) = value;
        let error = read(9, &[(FILE, file)]).expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}");
    };
    check("/model/type", "Unigram".into(), "\"Unigram\"");
    check("/model/merges", json!(["ab"]), "merges");
    check("/model/merges", json!([["a", 1]]), "merges");
    check("/model/vocab", json!({ "a": "b" }), "vocab");
    check("/pre_tokenizer", json!({ "type": "Whitespace" }), "neither the byte level");
    check("/pre_tokenizer/add_prefix_space", true.into(), "add_prefix_space");
    check("/model/byte_fallback", false.into(), "neither the byte level");
    check("/normalizer", json!({ "type": "NFKC" }), "NFKC");
    check("/added_tokens/0", json!({ "id": 4 }), "added token");
    check("/added_tokens/0", json!({ "id": 4, "content": "x", "single_word": true }), "single word");
    assert!(read(9, &[]).expect_err("none").to_string().contains("no tokenizer.json"));
    assert!(read(1 << 21, &[(FILE, bytes_level())]).expect_err("too many").to_string().contains("vocab_size"));
}
