//! Quantization, for the types whose official quantizer is deterministic and simple.
//!
//! Byte-equal to PyPI `gguf` 0.19.0 `quants.py` on finite values; on NaN and infinity the official code
//! is undefined, and this one gives some valid block.

use half::{bf16, f16};

use super::{mxfp4, q4_0, q4_1, q5_0, q5_1, q8_0, tq1_0, tq2_0};
use crate::dtype::DType;
use crate::error::{Caller, Error, Result};

/// The types that [`quantize`] knows.
pub const QUANTIZABLE: &[DType] = &[
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::Q4_0,
    DType::Q4_1,
    DType::Q5_0,
    DType::Q5_1,
    DType::Q8_0,
    DType::TQ1_0,
    DType::TQ2_0,
    DType::MXFP4,
];

/// Quantizes `values` into blocks of `dtype`.
///
/// `values` must fill whole blocks, and `out` must hold exactly their bytes: 4,096 values of `Q4_0`
/// need 2,304 bytes.
///
/// # Errors
/// `Caller` if a length does not fit, `Unsupported` for types that are not in [`QUANTIZABLE`].
///
/// # Example
/// ```
/// use weighbridge::{DType, quant::quantize};
/// let values = [1.0_f32; 32];
/// let mut block = [0; 18];
/// quantize(DType::Q4_0, &values, &mut block)?;
/// # Ok::<(), weighbridge::Error>(())
/// ```
pub fn quantize(dtype: DType, values: &[f32], out: &mut [u8]) -> Result<()> {
    if !QUANTIZABLE.contains(&dtype) {
        return Err(Error::unsupported("quantization to", dtype));
    }
    let expected = dtype.bytes_for(values.len() as u64);
    if expected != Some(out.len() as u64) {
        return Err(Error::caller(Caller::OutputLength {
            unit: "bytes",
            found: out.len() as u64,
            expected: expected.unwrap_or(u64::MAX),
        }));
    }
    match dtype {
        DType::F32 => elements(values, out, f32::to_le_bytes),
        DType::F16 => elements(values, out, |value| f16::from_f32(value).to_le_bytes()),
        DType::BF16 => elements(values, out, |value| bf16::from_f32(value).to_le_bytes()),
        DType::Q4_0 => blocks(values, out, q4_0::encode),
        DType::Q4_1 => blocks(values, out, q4_1::encode),
        DType::Q5_0 => blocks(values, out, q5_0::encode),
        DType::Q5_1 => blocks(values, out, q5_1::encode),
        DType::Q8_0 => blocks(values, out, q8_0::encode),
        DType::TQ1_0 => blocks(values, out, tq1_0::encode),
        DType::TQ2_0 => blocks(values, out, tq2_0::encode),
        _ => blocks(values, out, mxfp4::encode),
    }
    Ok(())
}

fn elements<const N: usize>(values: &[f32], out: &mut [u8], encode: impl Fn(f32) -> [u8; N]) {
    let (outs, _) = out.as_chunks_mut::<N>();
    for (out, &value) in outs.iter_mut().zip(values) {
        *out = encode(value);
    }
}

fn blocks<const BYTES: usize, const ELEMENTS: usize>(
    values: &[f32],
    out: &mut [u8],
    encode: impl Fn(&[f32; ELEMENTS], &mut [u8; BYTES]),
) {
    let (values, _) = values.as_chunks::<ELEMENTS>();
    let (outs, _) = out.as_chunks_mut::<BYTES>();
    for (values, out) in values.iter().zip(outs) {
        encode(values, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// sha256 of `quants.quantize` of PyPI `gguf` 0.19.0 on the values of [`input`].
    #[rustfmt::skip]
    const OFFICIAL: &[(DType, &str)] = &[
        (DType::F16, "54fff4e676f71cdb30e211c1c59ffccab4d730daf7dcc78d3e2088b9bd6da844"),
        (DType::BF16, "8f0f9f3976df3e42169678297dd12a7fd67ae236b4fa765b50c6701c0e27c656"),
        (DType::Q4_0, "cb15003b463a5d39ee50aa31de0ca69f329b506182c18a35415d082b68d7feea"),
        (DType::Q4_1, "7ab925c8a119de195e0e1a4f9e2580b848288998856e2c164059e8e15c3defd1"),
        (DType::Q5_0, "e432884a9ff133fba714ee799563959a51c99829390c72c83371e2225cdd5364"),
        (DType::Q5_1, "039a8c522a4839e727604e34e8320714263118553326138d409f26fd5f27832d"),
        (DType::Q8_0, "207ffb7b94d9201c10ccaea905356fd686cdd72e44381e84ce7dc31a3c493fac"),
        (DType::TQ1_0, "2c078778add673cb5b5738b3b5731c1d9d767e6094f3241d958e4b72cac8ba49"),
        (DType::TQ2_0, "7310ee088a520542727b73c446227dbfb5776ce8e7976fe5f1db4f329e129ab3"),
        (DType::MXFP4, "b1c82b06a58a8d70044dd6e5b1cd8476fed850a3ef0cf5c0401e1ac99a92556e"),
    ];

    /// 65,536 values with 24 bits each, in ranges from 2^-10 to 2^10; one block of zeros.
    fn input() -> Vec<f32> {
        let value = |at: u64| {
            let mut word = 0x7765_6967_6862_7269_u64
                .wrapping_add((at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            let unit = ((word >> 40) as i64 - (1 << 23)) as f32 * 2.0_f32.powi(-23);
            let block = at / 256;
            match block {
                7 => 0.0,
                _ => unit * 2.0_f32.powi((block % 21) as i32 - 10),
            }
        };
        (0..256 * 256).map(value).collect()
    }

    fn digest(bytes: &[u8]) -> String {
        let digest = Sha256::digest(bytes);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes long to interpret")]
    fn bytes_are_those_of_the_official_package() {
        let values = input();
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        assert_eq!(
            digest(&bytes),
            "b871f3a01b1dda9d8debe51839c4775c02d70dce4d7de30241bf00a6d6f47c81"
        );
        for &dtype in QUANTIZABLE.iter().filter(|&&dtype| dtype != DType::F32) {
            let official = OFFICIAL.iter().find(|(known, _)| *known == dtype);
            let mut out = vec![0; dtype.bytes_for(values.len() as u64).unwrap() as usize];
            quantize(dtype, &values, &mut out).unwrap();
            assert_eq!(
                Some(&*digest(&out)),
                official.map(|(_, digest)| *digest),
                "{dtype}"
            );
        }
    }

    #[test]
    fn wrong_lengths_and_types_are_errors() {
        assert!(quantize(DType::Q4_0, &[0.0; 31], &mut [0; 18]).is_err());
        assert!(quantize(DType::Q4_0, &[0.0; 32], &mut [0; 17]).is_err());
        assert!(quantize(DType::Q4_K, &[0.0; 256], &mut [0; 144]).is_err());
        assert!(quantize(DType::F32, &[1.0], &mut [0; 4]).is_ok());
    }

    #[test]
    fn no_value_panics() {
        let odd = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN_POSITIVE,
            1e-45,
            -0.0,
        ];
        let mixed: Vec<f32> = (0..256).map(|at| odd[at % odd.len()]).collect();
        let alike = odd.map(|value| vec![value; 256]);
        for values in alike.iter().chain([&mixed]) {
            for &dtype in QUANTIZABLE {
                let mut out = vec![0; dtype.bytes_for(256).unwrap() as usize];
                quantize(dtype, values, &mut out).unwrap();
            }
        }
    }
}
