//! Where a tensor of GGUF's name stands in a directory.

use exo_gguf::GgmlType;
use exo_gguf::safetensors::SafetensorsView;

use super::names::Order;
use crate::error::DirectoryProblem;
use crate::recipe::{Mxfp4Rows, Recipe, Strides};

/// One tensor.
#[derive(Debug)]
pub(super) struct Entry {
    /// The type that is stored.
    pub(super) dtype: GgmlType,
    /// The fastest dimension first.
    pub(super) shape: Vec<usize>,
    pub(super) recipe: Recipe,
    pub(super) source: Source,
}

/// Where its numbers are.
#[derive(Debug)]
pub(super) enum Source {
    /// In the tensor of this name.
    Tensor(String),
    /// In two: blocks and scales.
    BlocksAndScales(String, String),
    /// Here, as bytes of f32: they stand in the configuration.
    Made(Vec<u8>),
}

impl Entry {
    /// A vector of f32.
    pub(super) fn made(numbers: &[f32]) -> Self {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let shape = vec![numbers.len()];
        Self { dtype: GgmlType::F32, shape, recipe: Recipe::Plain, source: Source::Made(bytes) }
    }

    /// A stored tensor in an order. `scales` finds the tensor of that name, for MXFP4.
    pub(super) fn of<'a>(
        view: SafetensorsView<'_>,
        order: Order,
        scales: impl FnOnce(&str) -> Option<SafetensorsView<'a>>,
    ) -> Result<Self, DirectoryProblem> {
        if let Order::Mxfp4 { part, parts } = order {
            return Self::of_mxfp4(view, part, parts, scales);
        }
        let refuse = || DirectoryProblem::Element { tensor: view.name.to_owned(), found: view.element.name() };
        let dtype = view.element.as_float().ok_or_else(refuse)?;
        let reversed = || view.shape.iter().rev().copied().collect::<Vec<_>>();
        let (shape, recipe) = match (order, view.shape) {
            (_, shape) if shape.is_empty() || shape.contains(&0) => return Err(wrong_shape(&view, "sizes above 0")),
            (Order::Rows, _) => (reversed(), Recipe::Plain),
            (Order::NormPlusOne, _) => (reversed(), Recipe::PlusOne),
            (Order::Transposed { part, parts }, &[count, inputs, outputs]) if outputs.is_multiple_of(parts) => {
                let group = outputs / parts;
                let strides = Strides {
                    offset: part,
                    group,
                    group_stride: inputs * outputs,
                    row_stride: parts,
                    column_stride: outputs,
                };
                (vec![inputs, group, count], Recipe::Strided(strides))
            }
            (Order::Turns { part, parts }, &[count, outputs]) if outputs.is_multiple_of(parts) => {
                let strides =
                    Strides { offset: part, group: 1, group_stride: outputs, row_stride: 0, column_stride: parts };
                (vec![outputs / parts, count], Recipe::Strided(strides))
            }
            _ => return Err(wrong_shape(&view, "experts, inputs and outputs")),
        };
        Ok(Self { dtype, shape, recipe, source: Source::Tensor(view.name.to_owned()) })
    }

    fn of_mxfp4<'a>(
        view: SafetensorsView<'_>,
        part: usize,
        parts: usize,
        scales: impl FnOnce(&str) -> Option<SafetensorsView<'a>>,
    ) -> Result<Self, DirectoryProblem> {
        let wanted = "experts, outputs, blocks and 16 bytes, with a scale for each block";
        let name = view.name.replace("_blocks", "_scales");
        let scales = scales(&name).ok_or_else(|| DirectoryProblem::MissingTensor(name.clone()))?;
        let is_bytes = view.element.name() == "U8" && scales.element.name() == "U8";
        match *view.shape {
            [count, outputs, blocks, 16]
                if is_bytes
                    && outputs.is_multiple_of(parts)
                    && !view.shape.contains(&0)
                    && scales.shape == [count, outputs, blocks] =>
            {
                Ok(Self {
                    dtype: GgmlType::MXFP4,
                    shape: vec![blocks * GgmlType::MXFP4.block_elements(), outputs / parts, count],
                    recipe: Recipe::Mxfp4(Mxfp4Rows { offset: part, step: parts }),
                    source: Source::BlocksAndScales(view.name.to_owned(), name),
                })
            }
            _ => Err(wrong_shape(&view, wanted)),
        }
    }
}

fn wrong_shape(view: &SafetensorsView<'_>, wanted: &'static str) -> DirectoryProblem {
    DirectoryProblem::Shape { tensor: view.name.to_owned(), shape: view.shape.to_vec(), wanted }
}
