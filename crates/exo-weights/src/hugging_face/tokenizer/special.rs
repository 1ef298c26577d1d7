//! Tokens with a role.

use serde_json::Value;

use super::super::json::Object;
use super::model::Model;
use super::{Entries, kind_of, unsupported};
use crate::error::DirectoryProblem;

/// Where roles are told.
pub(super) struct Roles<'a> {
    pub(super) file: &'a Object<'a>,
    pub(super) settings: &'a Object<'a>,
    pub(super) model: &'a Model,
    /// Ids that end an answer: one, or a list.
    pub(super) ends: Option<&'a Value>,
}

impl Roles<'_> {
    /// Sets their entries.
    pub(super) fn set(&self, entries: &mut Entries<'_>) -> Result<(), DirectoryProblem> {
        if self.model.is_pieces() && self.template().is_none() {
            return Err(unsupported("no template that tells which tokens stand around a text"));
        }
        let bos = self.begin();
        let mut ends = self.named("eos_token").into_iter().collect::<Vec<_>>();
        ends.extend(self.end_ids());
        ends.dedup();
        let (eos, eot) = (ends.first().copied(), ends.iter().copied().find(|end| Some(end) != ends.first()));
        let unknown = self.named("unk_token").or(self.model.unknown);
        for (name, token) in [("bos", bos), ("eos", eos), ("eot", eot), ("unknown", unknown)] {
            if let Some(token) = token {
                entries.set(&format!("{name}_token_id"), token);
            }
        }
        let adds_bos = self.settings.opt_flag("add_bos_token")?.unwrap_or_else(|| self.begins_with(bos));
        entries.set("add_bos_token", adds_bos);
        if let Some(end) = self.ends_with(eos)? {
            entries.set_whole("tokenizer.exo.end_token_id", end);
        }
        Ok(())
    }

    /// The token that is put behind a text whose vector is wanted.
    fn ends_with(&self, eos: Option<u32>) -> Result<Option<u32>, DirectoryProblem> {
        if self.settings.opt_flag("add_eos_token")? == Some(true) {
            return Ok(eos);
        }
        let single =
            self.template().and_then(|template| template.get("single")?.as_array()).and_then(|parts| parts.last());
        let last = single.and_then(|part| part.pointer("/SpecialToken/id")?.as_str());
        let is_behind = self.template().is_some_and(|template| template.pointer("/single/1").is_some());
        Ok(last.filter(|_| is_behind).and_then(|text| self.model.ids.get(text).copied()))
    }

    /// What is put around a text.
    fn template(&self) -> Option<&Value> {
        let steps = super::steps(self.file.get("post_processor"), "processors");
        steps.into_iter().find(|step| kind_of(step) == "TemplateProcessing")
    }

    /// The token that begins texts. WordPiece has a name of its own for it.
    fn begin(&self) -> Option<u32> {
        match self.model.is_pieces() {
            true => self.named("cls_token").or_else(|| self.first_around()),
            false => self.named("bos_token"),
        }
    }

    /// The token that is put before a text.
    fn first_around(&self) -> Option<u32> {
        let first = self.template()?.pointer("/single/0/SpecialToken/id")?.as_str()?;
        self.model.ids.get(first).copied()
    }

    /// The token of a role: a text, or an object with its content.
    fn named(&self, role: &str) -> Option<u32> {
        let value = self.settings.get(role)?;
        let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
        self.model.ids.get(text).copied()
    }

    fn end_ids(&self) -> Vec<u32> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = match self.ends {
            Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
            Some(one) => id(one).into_iter().collect(),
            None => Vec::new(),
        };
        let known = self.model.len();
        ids.into_iter().filter(|&id| (id as usize) < known).collect()
    }

    /// Whether what is put around a text puts the token `bos` before it.
    fn begins_with(&self, bos: Option<u32>) -> bool {
        bos.is_some() && self.first_around() == bos
    }
}
