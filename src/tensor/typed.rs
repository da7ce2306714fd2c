//! Typed slices of the file's own bytes, where they are sound.

use half::{bf16, f16};

use super::TensorView;
use crate::bytes::Endian;
use crate::dtype::DType;
use crate::error::{Caller, Result};

/// A Rust type that the bytes of some dtypes can be seen as: every bit pattern is a value of it.
///
/// Sealed: implemented for the integers, `f32`, `f64`, `f16`, `bf16` and pairs of floats for the
/// complex types. There is none for `bool`, because a file may hold other bytes than 0 and 1: see
/// those as `u8`.
pub trait Element: bytemuck::AnyBitPattern + private::Sealed {
    /// The type's name in errors.
    #[doc(hidden)]
    const NAME: &'static str;

    /// The dtypes that may be seen as this type.
    #[doc(hidden)]
    const DTYPES: &'static [DType];
}

mod private {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($type:ty: $($dtype:ident)*;)*) => {
        $(impl private::Sealed for $type {}
        impl Element for $type {
            const NAME: &'static str = stringify!($type);
            const DTYPES: &'static [DType] = &[$(DType::$dtype),*];
        })*
    };
}

elements! {
    f32: F32;
    f64: F64;
    f16: F16;
    bf16: BF16;
    i8: I8 QINT8;
    i16: I16;
    i32: I32 QINT32;
    i64: I64;
    u8: U8 BOOL F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ QUINT8 BITS8 BITS1X8 BITS2X4
        BITS4X2 F4_E2M1FN_X2;
    u16: U16 BITS16;
    u32: U32;
    u64: U64;
    [f32; 2]: C64;
    [f64; 2]: C128;
    [f16; 2]: C32;
    [bf16; 2]: BC32;
}

const HOST: Endian = if cfg!(target_endian = "big") {
    Endian::Big
} else {
    Endian::Little
};

impl<'a> TensorView<'a> {
    /// The elements as a slice of the file's own bytes, nothing copied.
    ///
    /// # Errors
    /// `Caller`, with the exact reason, if the dtype is another, the elements are strided or in
    /// another byte order than this machine's, the bytes are not aligned for `T` (a matter of
    /// where the file puts them), or the tensor has no data. Then
    /// [`copy_into`](Self::copy_into) or [`dequantize_into`](Self::dequantize_into) serves.
    ///
    /// # Example
    /// ```
    /// # fn main() -> weighbridge::Result<()> {
    /// # let model = weighbridge::open("tests/files/safetensors/network.safetensors")?;
    /// for tensor in model.tensors() {
    ///     let values: &[f32] = tensor.as_slice()?;
    ///     assert_eq!(values.len(), tensor.elements());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn as_slice<T: Element>(&self) -> Result<&'a [T]> {
        if !T::DTYPES.contains(&self.dtype()) {
            return Err(self.error(Caller::DType {
                found: self.dtype_name().to_owned(),
                wanted: T::NAME,
            }));
        }
        if !self.is_contiguous() {
            return Err(self.error(Caller::Strided));
        }
        if self.endian() != HOST && !self.dtype().swapped_fields().is_empty() {
            return Err(self.error(Caller::ByteOrder));
        }
        self.expect_plain_signs()?;
        bytemuck::try_cast_slice(self.raw()?).map_err(|_| {
            self.error(Caller::Unaligned {
                alignment: crate::bytes::to_u64(align_of::<T>()),
            })
        })
    }
}
