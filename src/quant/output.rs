//! The types that values are decoded into.

use half::{bf16, f16};

/// A floating-point type that tensors are decoded into: `f32`, `f16` or `bf16`.
///
/// Every decoder gives an f32; the 16-bit types take that value rounded to nearest, ties to even.
/// Sealed.
pub trait Output: bytemuck::Pod + Send + Sync + private::Sealed {
    /// Which of the three.
    #[doc(hidden)]
    const KIND: Kind;

    /// The f32, rounded.
    #[doc(hidden)]
    fn from_f32(value: f32) -> Self;

    /// The slice itself where no rounding is needed.
    #[doc(hidden)]
    fn as_f32(out: &mut [Self]) -> Option<&mut [f32]>;
}

/// An output type as a value, for kernels that are written once for all three.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    F32,
    F16,
    Bf16,
}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
    impl Sealed for half::bf16 {}
}

impl Output for f32 {
    const KIND: Kind = Kind::F32;

    fn from_f32(value: f32) -> Self {
        value
    }
    fn as_f32(out: &mut [Self]) -> Option<&mut [f32]> {
        Some(out)
    }
}

impl Output for f16 {
    const KIND: Kind = Kind::F16;

    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
    fn as_f32(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
}

impl Output for bf16 {
    const KIND: Kind = Kind::Bf16;

    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
    fn as_f32(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
}
