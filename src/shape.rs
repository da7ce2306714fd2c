//! Arithmetic on shapes and strides: the one place where numbers of a file are multiplied.
//!
//! Shapes are outermost first, strides count elements. Every function is total: what does not fit
//! is an error or `None`, whatever the order of the dimensions.

#![forbid(unsafe_code)]

use crate::error::{Error, Malformed, Result};

/// The number of elements of a shape; 1 for a scalar, 0 if any dimension is 0.
///
/// The product of the dimensions that are not 0 must stay below 2^63, so that the verdict on a
/// shape does not depend on where its 0 stands.
///
/// # Errors
/// `Malformed` (`Overflow`) if that product does not fit.
///
/// # Example
/// ```
/// use weighbridge::shape::elements;
/// assert_eq!(elements(&[2, 3]).unwrap(), 6);
/// assert_eq!(elements(&[]).unwrap(), 1);
/// assert!(elements(&[0, 1 << 62, 4]).is_err());
/// ```
pub fn elements(shape: &[u64]) -> Result<u64> {
    let mut product: u64 = 1;
    let mut empty = false;
    for &dimension in shape {
        if dimension == 0 {
            empty = true;
            continue;
        }
        product = product
            .checked_mul(dimension)
            .filter(|&product| i64::try_from(product).is_ok())
            .ok_or_else(|| overflow("the number of elements"))?;
    }
    Ok(if empty { 0 } else { product })
}

/// The strides of a row-major tensor without gaps, in elements, written to `strides`.
///
/// For an empty shape they are those that torch reports: a dimension of 0 counts as 1.
pub fn contiguous_strides(shape: &[usize], strides: &mut Vec<usize>) {
    let start = strides.len();
    let mut stride: usize = 1;
    for &dimension in shape.iter().rev() {
        strides.push(stride);
        stride = stride.saturating_mul(dimension.max(1));
    }
    if let Some(added) = strides.get_mut(start..) {
        added.reverse();
    }
}

/// Whether elements with these strides lie side by side in row-major order.
///
/// Dimensions of 1 may have any stride, and so may every dimension of an empty shape.
#[must_use]
pub fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    if shape.contains(&0) {
        return true;
    }
    let mut expected: usize = 1;
    for (&dimension, &stride) in shape.iter().zip(strides).rev() {
        if dimension != 1 {
            if stride != expected {
                return false;
            }
            expected = expected.saturating_mul(dimension);
        }
    }
    true
}

/// How many elements of the storage a strided tensor reaches over, from its first element on:
/// 1 + Σ (dimension − 1) × stride, and 0 if the shape is empty.
///
/// # Errors
/// `Malformed` (`Overflow`) if the sum exceeds 63 bits.
pub fn reach(shape: &[u64], strides: &[u64]) -> Result<u64> {
    if shape.contains(&0) {
        return Ok(0);
    }
    let mut reach: u64 = 1;
    for (&dimension, &stride) in shape.iter().zip(strides) {
        reach = dimension
            .saturating_sub(1)
            .checked_mul(stride)
            .and_then(|last| reach.checked_add(last))
            .filter(|&reach| i64::try_from(reach).is_ok())
            .ok_or_else(|| overflow("the extent of the strides"))?;
    }
    Ok(reach)
}

/// The bytes of `count` parts of `each` bytes; `None` if they overflow.
///
/// # Example
/// ```
/// use weighbridge::shape::bytes;
/// assert_eq!(bytes(3, 4), Some(12));
/// assert_eq!(bytes(1 << 62, 4), None);
/// ```
#[must_use]
pub const fn bytes(count: u64, each: u64) -> Option<u64> {
    count.checked_mul(each)
}

/// The same of what is called `what`.
///
/// # Errors
/// `Malformed` (`Overflow`) if they overflow.
pub fn bytes_of(what: &'static str, count: u64, each: u64) -> Result<u64> {
    bytes(count, each).ok_or_else(|| overflow(what))
}

#[cold]
fn overflow(what: &'static str) -> Error {
    Error::malformed(Malformed::Overflow { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_does_not_depend_on_where_the_zero_stands() {
        assert!(elements(&[0, 1 << 63, 1 << 63]).is_err());
        assert!(elements(&[1 << 63, 1 << 63, 0]).is_err());
        assert_eq!(elements(&[0, 5, 7]).unwrap(), 0);
    }

    #[test]
    fn wrapped_products_are_refused() {
        assert!(elements(&[1 << 32, 1 << 32]).is_err());
        assert!(elements(&[u64::MAX]).is_err());
        assert_eq!(
            elements(&[u64::try_from(i64::MAX).unwrap()]).unwrap(),
            i64::MAX as u64
        );
    }

    #[test]
    fn bytes_that_overflow_are_named() {
        assert_eq!(bytes(0, u64::MAX), Some(0));
        assert_eq!(bytes(u64::MAX, 1), Some(u64::MAX));
        assert_eq!(bytes(1 << 32, 1 << 32), None);
        let error = bytes_of("a storage", u64::MAX, 2).unwrap_err();
        assert!(error.to_string().contains("a storage"), "{error}");
    }

    #[test]
    fn contiguity_ignores_dimensions_of_one() {
        assert!(is_contiguous(&[2, 1, 3], &[3, 77, 1]));
        assert!(!is_contiguous(&[2, 3], &[1, 2]));
        assert!(is_contiguous(&[0, 3], &[9, 9]));
        assert!(is_contiguous(&[], &[]));
        let mut strides = Vec::new();
        contiguous_strides(&[2, 3, 4], &mut strides);
        assert_eq!(strides, [12, 4, 1]);
    }

    #[test]
    fn reach_covers_the_last_element() {
        assert_eq!(reach(&[2, 3], &[3, 1]).unwrap(), 6);
        assert_eq!(reach(&[4], &[0]).unwrap(), 1);
        assert_eq!(reach(&[4, 0], &[9, 9]).unwrap(), 0);
        assert!(reach(&[1 << 40], &[1 << 40]).is_err());
    }
}
