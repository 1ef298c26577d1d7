//! The rotary embedding's part of the configuration.
//!
//! It stands in `rope_theta` and `rope_scaling`, or, as transformers 5 writes it, in `rope_parameters`; where layers with
//! a window have one of their own, that has an object for each kind of layer.

use super::config::{Config, Entries};
use super::json::Object;
use crate::error::DirectoryProblem;

/// Where a configuration's rotary embedding stands.
struct Rope<'a> {
    base: f32,
    /// Of layers with a window.
    window_base: Option<f32>,
    scaling: Option<Object<'a>>,
}

/// Sets what concerns it.
pub(super) fn set(config: &Config<'_>, entries: &mut Entries) -> Result<(), DirectoryProblem> {
    let rope = read(config)?;
    entries.set("rope.freq_base", rope.base);
    if let Some(base) = rope.window_base {
        entries.set("rope.freq_base_swa", base);
    }
    let share = config.object.opt_number("partial_rotary_factor")?.unwrap_or(1.0);
    entries.set("rope.dimension_count", (config.head_width()? as f32 * share) as u32);
    match rope.scaling {
        Some(scaling) => set_scaling(config, &scaling, entries),
        None => Ok(()),
    }
}

/// Divisors of the frequencies, by GGUF's names: they are tensors there.
pub(super) fn factors(config: &Config<'_>) -> Result<Vec<(&'static str, Vec<f32>)>, DirectoryProblem> {
    let Some(scaling) = read(config)?.scaling else { return Ok(Vec::new()) };
    let mut factors = Vec::new();
    for (key, name) in [("short_factor", "rope_factors_short.weight"), ("long_factor", "rope_factors_long.weight")] {
        let Some(list) = scaling.opt_list(key)? else { continue };
        let numbers: Option<Vec<f32>> = list.iter().map(|number| Some(number.as_f64()? as f32)).collect();
        let numbers = numbers.filter(|numbers| numbers.iter().all(|number| number.is_normal() && *number > 0.0));
        factors.push((name, numbers.ok_or_else(|| scaling.wrong(key, "a list of numbers above 0"))?));
    }
    Ok(factors)
}

fn read<'a>(config: &Config<'a>) -> Result<Rope<'a>, DirectoryProblem> {
    let object = &config.object;
    let Some(parameters) = object.opt_object("rope_parameters")? else {
        return Ok(Rope {
            base: object.opt_number("rope_theta")?.unwrap_or(config.family.rope_base),
            window_base: object.opt_number("rope_local_base_freq")?,
            scaling: object.opt_object("rope_scaling")?,
        });
    };
    let in_window = parameters.opt_object("sliding_attention")?;
    let window_base = in_window.map(|object| object.opt_number("rope_theta")).transpose()?.flatten();
    let scaling = parameters.opt_object("full_attention")?.unwrap_or(parameters);
    let base = scaling.opt_number("rope_theta")?.unwrap_or(config.family.rope_base);
    Ok(Rope { base, window_base, scaling: Some(scaling) })
}

fn set_scaling(config: &Config<'_>, scaling: &Object<'_>, entries: &mut Entries) -> Result<(), DirectoryProblem> {
    let kind = match scaling.opt_text("rope_type")? {
        Some(kind) => kind,
        None => scaling.opt_text("type")?.unwrap_or("default"),
    };
    match kind {
        "default" => return Ok(()),
        "linear" => entries.set("rope.scaling.factor", scaling.number("factor")?),
        "llama3" => {
            entries.set("rope.scaling.factor", scaling.number("factor")?);
            entries.set("rope.scaling.low_freq_factor", scaling.number("low_freq_factor")?);
            entries.set("rope.scaling.high_freq_factor", scaling.number("high_freq_factor")?);
            set_original_context(config, scaling, entries)?;
        }
        "yarn" => set_yarn(config, scaling, entries)?,
        "longrope" | "su" => set_longrope(config, scaling, entries)?,
        _ => return Err(scaling.unsupported(if scaling.get("rope_type").is_some() { "rope_type" } else { "type" })),
    }
    entries.set("rope.scaling.type", if kind == "su" { "longrope" } else { kind });
    Ok(())
}

fn set_yarn(config: &Config<'_>, scaling: &Object<'_>, entries: &mut Entries) -> Result<(), DirectoryProblem> {
    for key in ["mscale", "mscale_all_dim"] {
        if scaling.get(key).is_some() {
            return Err(scaling.unsupported(key));
        }
    }
    entries.set("rope.scaling.factor", scaling.number("factor")?);
    for (key, name) in [
        ("beta_fast", "rope.scaling.yarn_beta_fast"),
        ("beta_slow", "rope.scaling.yarn_beta_slow"),
        ("attention_factor", "rope.scaling.attn_factor"),
    ] {
        if let Some(number) = scaling.opt_number(key)? {
            entries.set(name, number);
        }
    }
    if let Some(truncate) = scaling.opt_flag("truncate")? {
        entries.set("rope.scaling.yarn_truncate", truncate);
    }
    set_original_context(config, scaling, entries)
}

/// Phi 3's: factors in tensors, and queries and keys that grow with the logarithm of the extension.
fn set_longrope(config: &Config<'_>, scaling: &Object<'_>, entries: &mut Entries) -> Result<(), DirectoryProblem> {
    for key in ["short_factor", "long_factor"] {
        scaling.opt_list(key)?.ok_or_else(|| scaling.missing(key))?;
    }
    let original =
        original_context(config, scaling)?.ok_or_else(|| scaling.missing("original_max_position_embeddings"))?;
    let extension = f64::from(config.context()?) / f64::from(original);
    let computed = (1.0 + extension.max(1.0).ln() / f64::from(original).ln()).sqrt();
    let magnitude = scaling.opt_number("attention_factor")?.unwrap_or(computed as f32);
    entries.set("rope.scaling.attn_factor", if extension > 1.0 { magnitude } else { 1.0 });
    entries.set("rope.scaling.original_context_length", original);
    Ok(())
}

fn set_original_context(
    config: &Config<'_>,
    scaling: &Object<'_>,
    entries: &mut Entries,
) -> Result<(), DirectoryProblem> {
    let original = original_context(config, scaling)?;
    entries.set("rope.scaling.original_context_length", original.map_or_else(|| config.context(), Ok)?);
    Ok(())
}

fn original_context(config: &Config<'_>, scaling: &Object<'_>) -> Result<Option<u32>, DirectoryProblem> {
    let key = "original_max_position_embeddings";
    Ok(scaling.opt_count(key)?.or(config.object.opt_count(key)?).filter(|&original| original > 1))
}
