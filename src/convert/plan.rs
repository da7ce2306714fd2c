//! Which tensors the output holds, as what.

use std::borrow::Cow;
use std::collections::HashSet;

use super::item::Item;
use super::options::{ConvertOptions, Converted};
use super::shared;
use crate::bytes::room;
use crate::checkpoint::Checkpoint;
use crate::dtype::{Class, DType};
use crate::error::{Caller, Error, Format, Malformed, Result};
use crate::quant;
use crate::tensor::TensorView;

/// The tensors of the output, in the order of `views`.
///
/// `place` says what becomes of each.
///
/// # Errors
/// What `place` says; `Caller` for a tensor without data.
pub(super) fn items<'a>(
    options: &ConvertOptions,
    model: &'a Checkpoint,
    views: Vec<TensorView<'a>>,
    alias: bool,
    converted: &mut Converted,
    place: impl Fn(TensorView<'a>) -> Result<Item<'a>>,
) -> Result<Vec<Item<'a>>> {
    let mut items = Vec::new();
    for view in views {
        if !view.has_data() {
            if options.skip_absent {
                room::push(&mut converted.left_out, room::copy(view.name())?)?;
                continue;
            }
            // Says why there is none.
            view.bytes()?;
        }
        // Before the disk is asked for room.
        view.expect_bounded()?;
        let mut item = place(view)?;
        if item.dtype != item.read_as {
            item.scales = scales(model, &item.view)?;
        }
        room::push(&mut items, item)?;
    }
    check_names(&items)?;
    let shared = shared::find(&items)?;
    let name = |place: usize| items.get(place).map_or("", |item| &item.name);
    for place in shared.overlapping {
        room::push(&mut converted.separated, room::copy(name(place))?)?;
    }
    if !alias {
        return Ok(items);
    }
    for (removed, kept) in shared.same_as.iter().enumerate() {
        if let Some(kept) = *kept {
            let pair = (room::copy(name(removed))?, room::copy(name(kept))?);
            room::push(&mut converted.aliases, pair)?;
        }
    }
    converted.aliases.sort_unstable();
    let mut same = shared.same_as.iter();
    items.retain(|_| same.next().is_none_or(Option::is_none));
    Ok(items)
}

/// Views may repeat a tensor, and a companion's name may be that of another tensor.
fn check_names(items: &[Item<'_>]) -> Result<()> {
    let mut names = HashSet::new();
    for item in items {
        if !room::insert(&mut names, &*item.name)? {
            return Err(does_not_fit("the repeated tensor name", &item.name));
        }
    }
    Ok(())
}

/// What becomes of a tensor in a safetensors file.
///
/// # Errors
/// `Unsupported` for what such a file cannot hold.
pub(super) fn in_safetensors<'a>(
    options: &ConvertOptions,
    view: TensorView<'a>,
) -> Result<Item<'a>> {
    if view.name() == "__metadata__" {
        // The header would hold the key twice.
        return Err(does_not_fit("the tensor name", view.name()));
    }
    let dtype = view.dtype();
    let wanted = options.dtype.dtype();
    match dtype.class() {
        Class::Float | Class::Block => match wanted {
            Some(wanted) if quant::decoder(dtype).is_some() => Item::new(view, wanted),
            Some(wanted) => Err(refused(&view, format!("{dtype} as {wanted}"))),
            None if dtype.safetensors_name().is_some() => Item::new(view, dtype),
            None => Err(refused(
                &view,
                format!("{dtype} in safetensors: choose dtype f32, f16 or bf16"),
            )),
        },
        _ if dtype.safetensors_name().is_some() => Item::new(view, dtype),
        _ => packed(options, view),
    }
}

/// Torch dtypes whose bits safetensors knows under another name, or not at all.
fn packed<'a>(options: &ConvertOptions, view: TensorView<'a>) -> Result<Item<'a>> {
    let (suffix, dtype) = match view.dtype() {
        // What safetensors' own writer does: two elements of F4 for each.
        DType::F4_E2M1FN_X2 => ("", DType::F4),
        DType::C128 => (".view_as_real", DType::F64),
        DType::C32 => (".view_as_real", DType::F16),
        DType::BC32 => (".view_as_real", DType::BF16),
        DType::QINT8 => (".int_repr", DType::I8),
        DType::QUINT8 => (".int_repr", DType::U8),
        DType::QINT32 => (".int_repr", DType::I32),
        DType::BITS8 | DType::BITS1X8 | DType::BITS2X4 | DType::BITS4X2 => (".bits", DType::U8),
        DType::BITS16 => (".bits", DType::U16),
        _ => {
            let name = view.dtype_name();
            return Err(refused(&view, format!("{name} in safetensors")));
        }
    };
    if !suffix.is_empty() && !options.companions {
        let what = format!(
            "{} in safetensors: allow companions to write it as {dtype} {suffix:?}",
            view.dtype_name()
        );
        return Err(refused(&view, what));
    }
    let mut shape = room::list(view.shape().iter().copied())?;
    match suffix {
        ".view_as_real" => room::push(&mut shape, 2)?,
        // Two for one in the last dimension; a scalar becomes a pair.
        "" => match shape.last_mut() {
            Some(last) => *last = last.saturating_mul(2),
            None => room::push(&mut shape, 2)?,
        },
        _ => {}
    }
    let (dtype, read_as) = match (dtype, options.dtype.dtype()) {
        (DType::F4, Some(wanted)) => (wanted, DType::F4),
        _ => (dtype, dtype),
    };
    let name = Cow::Owned(room::join([view.name(), suffix], "")?);
    Item {
        name,
        read_as,
        dtype,
        shape,
        bytes: 0,
        scales: Vec::new(),
        view,
    }
    .measured()
}

/// The scales of an NVFP4 tensor, which its values are multiplied by; empty for all others.
fn scales(model: &Checkpoint, view: &TensorView<'_>) -> Result<Vec<f32>> {
    let Some(scale) = model.scale_of(view) else {
        return Ok(Vec::new());
    };
    let outermost = view.shape().first().copied().unwrap_or(1);
    let count = scale.elements();
    if scale.dtype() != DType::F32 || !(count == 1 || count == outermost) {
        return Err(Error::malformed(Malformed::Mismatch {
            what: "the numbers of an NVFP4 scale",
            found: crate::bytes::to_u64(count),
            expected: crate::bytes::to_u64(outermost),
        })
        .for_tensor(scale.name()));
    }
    let mut scales = Vec::new();
    room::resize(&mut scales, count, 0.0)?;
    scale.dequantize_into(&mut scales)?;
    Ok(scales)
}

#[cold]
fn does_not_fit(what: &'static str, name: &str) -> Error {
    Error::caller(Caller::DoesNotFit {
        what,
        value: format!("{:?}", crate::error::shortened(name)),
        format: Format::Safetensors,
    })
}

#[cold]
fn refused(view: &TensorView<'_>, what: String) -> Error {
    Error::unsupported("writing", what).for_tensor(view.name())
}
