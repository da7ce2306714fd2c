//! Every type against digests made with ggml itself.
//!
//! The digests were made with ggml 0.25.3 (`dequantize_row_*`, compiled C) and, for the types that
//! it knows, PyPI `gguf` 0.19.0; both agree. Q8_1 and Q8_K, which have no such function in ggml,
//! were made from their formula by another implementation. Input: SplitMix64, seeded with the id.

use half::{bf16, f16};
use sha2::{Digest, Sha256};

use super::{Output, decoder};
use crate::dtype::DType;

struct Golden {
    id: u32,
    input: &'static str,
    f32: &'static str,
    f16: &'static str,
    bf16: &'static str,
    not_a_number: usize,
    first: [u32; 2],
}

const fn row(
    id: u32,
    input: &'static str,
    f32: &'static str,
    f16: &'static str,
    bf16: &'static str,
    not_a_number: usize,
    first: [u32; 2],
) -> Golden {
    Golden {
        id,
        input,
        f32,
        f16,
        bf16,
        not_a_number,
        first,
    }
}

#[rustfmt::skip]
const GOLDEN: &[Golden] = &[
    row(1, "a31f16b6fe73ef0e", "8ece3f94d598a97e0add3ac26e722158", "4ff4a42182d649638ef64e26c85d2035", "d5d724da16b2a0d4a2f8afe619fa9e95", 2048, [0xba422000, 0xc5f6c000]),
    row(2, "8bbe9d7f5e6659bc", "10b0fb5f8f400309958b6c7ed4af15e3", "50d1ac1e5d91827b67ced6f84b85cff5", "75b3b44a02f74668b8d6ae25fa3e2c57", 3680, [0x375b0000, 0xb888e000]),
    row(3, "50f15bc47f50d43a", "9ac0583e5f43673c3ed6b6e57796cb05", "c377de5606227165f1501202ed233208", "1390d885f6af056ee18f52805dde25c5", 8672, [0x42541e00, 0x435a0780]),
    row(6, "a6002c2c60fc24bb", "05ab1b0b28f60d47f8f88cf057a5bf85", "415415824dffa62d0e86e828f53b2489", "64ec4a33c70ea8ca3646107f658fdf54", 3840, [0xb8540000, 0x39398000]),
    row(7, "8bedd45d8c23e987", "2b669da568ad66966b1cd038468d3d5c", "eb79a99282fd68e4acab18b46afb4330", "da9577fdee8f0b623e1e9d35cfc9c561", 7712, [0x3bdf2000, 0x3b977000]),
    row(8, "b68e44c1989cbd4b", "2d83e7c403ac4b743c08a40dd7086981", "6baf745b254e0df2771a2c24ce576b58", "39dbcc0b4dfd1f060562b93e9ced5e11", 4064, [0x41be0000, 0xc15c0000]),
    row(9, "3cdcec87d02134fb", "8e6c3332d9abbbe927b477fdc9435472", "96795a332d8dc9a1f79b2a4fd74435de", "1b5ce9a04523acebf11c230f88aac270", 4192, [0xc3ee2180, 0xc30a0c00]),
    row(10, "29ed20f616fde269", "cc2d09e21ff5916165ae5d7990c6a076", "19994c45b09221a59da6925bf88ec731", "1e484ccca45aaf8c6788eeee0f5aa831", 14592, [0x40c6a000, 0x40c6a000]),
    row(11, "8cc49b0be6628871", "0865fdf7a0e0c89b916cd5acf70fde89", "548076495bfd0923302a541ca3804504", "fe38d96718523185851bc0527cccfd1c", 8960, [0x487cf000, 0xc87cf000]),
    row(12, "f2939aef57e8c2f6", "cb5266d1583bb087449e2bcf97216ec9", "b30c5d83d48496fb9e6080e29658b5ca", "3200030c18280975cf9ddddadf7a146d", 18432, [0x47a43910, 0x47bf1000]),
    row(13, "0b6b9bfd4e96adf4", "eb372d8dfb9d7e412d22c722c58d829e", "131ad67c9c5c78664b1ccb6f5ca36520", "7ff5bd2f74cc3346ca8ecc1aa167bab3", 15104, [0xc9873604, 0xc98730e1]),
    row(14, "b584afb5d3c55b2a", "9494d12723e8769b3c58d457d84066f7", "b73f6ac2caff707f8a6aa02db49183f9", "218d6e438c99406b9159390983829ace", 9472, [0xc16b4790, 0xc08d2af0]),
    row(15, "4cb4936806851cd4", "690fc67321ee9f12f53f8344e35b3c7c", "75ab20338a54e4ef2d6a3415c8375da1", "b08dcbab88d08e8478592a4249712c6d", 1536, [0xa8530466, 0xa7530466]),
    row(16, "2a3c499270b2b0c5", "4c9af231de53f31eba6bec722e5027e8", "4ef8ff8181dff0e0f413caf2ec5bd8b1", "366beae1b08ef2be47b003f94059506e", 10752, [0xbfa5b8e0, 0xbe76a800]),
    row(17, "f4067e178ac96578", "c9fd9311d8e5ea336e00301bb3f660f3", "95d8517b2fc535cebf76c840954e3114", "35b84f7574e2577d97a362920c9fe255", 9472, [0xc6d78000, 0x46d78000]),
    row(18, "d11a3d315520d43e", "af6298e4450ccfd595555de905b78bf4", "ad5079a7d13f01d74428e1ca21de636d", "f77310addc1185784d01e7c45e2437cf", 9216, [0xbe080b00, 0x3f990c60]),
    row(19, "0aee64eda4b755b1", "534265d6523f18a0043eae1319eb5739", "2c4f3add14602fdd48feb11b8979dcd9", "9ed854d6a567f82ba8b6c368c13baaff", 10240, [0xc8e8a780, 0x4784f200]),
    row(20, "298ec970b5c32633", "bc9fe9932ea59eff8a53b275abc3f59d", "df14d0e88697013e2e4ca5590a083abf", "4453552fc96aabae859265505f62a77b", 4192, [0xc8abc980, 0xc95e9f40]),
    row(21, "870f2f2f05f9f298", "8bb16136df138a086d5462b84f7d407c", "1a060a53203de796bb847e40392968d9", "3359d26a71d43a892e28eee4194d75f0", 9728, [0xc7bde340, 0xc5ca8c00]),
    row(22, "834ebac56f397e64", "464474f74abdcef14121f72b3aa5707a", "f6b9fd6a50355f6cc063931de6260c0e", "88e23faacb36eeec970f452c39aa8bb8", 9984, [0x45a69400, 0xc5a69400]),
    row(23, "5fb4de8b72787619", "5bce1add5314bef3639b157821b17fd6", "3cfdd77d28610c9ad57bb4dccb86b5fa", "bfced16fd8c9d683fbec253b2f2250fa", 7424, [0xbfc07600, 0xbfeb0640]),
    row(29, "33dee1f1394e5e4e", "60af8a6478335796ed7a11ebe22b44d7", "0acf797f9b5d083e788b298ed5e8ef0c", "392d2cf4c2950223b4efbd81b8499880", 11008, [0x3db5c000, 0xbf1f0800]),
    row(30, "f1bf41e6272f0176", "970c72b6a9367ad048e83dd00ae320a1", "0daab33bdab429e6b87d845d8e436966", "fb827b247835b3ab0cfeb6ceb6860b5f", 276, [0x459a0000, 0x026a0000]),
    row(34, "2d0577ac04dca3c0", "f318207de72deec31eede731715a3e3d", "0ccf5ff7d48497cc31e5e9c271139fbe", "4e213b5c2b875398d26a457447242bc8", 8192, [0x7fc00000, 0x7fc00000]),
    row(35, "f89d22cc199d2305", "34e518355cd54c3692007b620e9558a1", "cf1f47fca01aa65bdbd3b0ada1e383ce", "ba56fe1c2b2212e2f32daa5e92e6c394", 7680, [0x80000000, 0xc6a08000]),
    row(39, "a2a790eb531ba192", "2611038a94406b682b8bb6e51054a0a8", "596317e7b0fde9f3f8766193a9cba77c", "bb7093d2f4f148e407256215f1486fa8", 0, [0xf7800000, 0x77000000]),
    row(40, "9d0b5fc3ac9d6a52", "51362b5ce7d4b7fe55f6d67afdc119df", "e393b813348b8b7b4102b41fe0dec922", "e463b530091704e031247c4ac5aa180c", 0, [0x40d80000, 0xc0d80000]),
    row(41, "a524093b26e4f61f", "76446951f5197eee848b840f218e28fc", "fc9dbe8f3fb8009489dff0dc01e5320f", "744097c6a3cb57551c1392edd9a40422", 5120, [0x41782000, 0xc1782000]),
    row(42, "5b6fae5268d041dd", "a61ef41f615802d67593995a7ae82b44", "ee13f2a4861cdde0bcfaa42511e410d4", "8e909f35e2dafb4b64c32c199127e466", 2496, [0xbd7f0000, 0x80000000]),
];

/// Types of the ggml table that are plain numbers and have no digest.
const PLAIN: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::I8,
    DType::I16,
    DType::I32,
    DType::I64,
];

/// The random blocks of a type.
fn input(dtype: DType) -> Vec<u8> {
    blocks(
        dtype,
        match dtype.block_elements() {
            1 => 65_536,
            32 => 4_096,
            _ => 1_024,
        },
    )
}

fn blocks(dtype: DType, blocks: usize) -> Vec<u8> {
    let seed = 0x4747_5546_0000_0000_u64 + u64::from(dtype.ggml_id().unwrap());
    let length = blocks * dtype.block_bytes();
    let words = (1..).flat_map(|step: u64| {
        let mut word = seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_le_bytes()
    });
    words.take(length).collect()
}

fn digest(bytes: impl Iterator<Item = u8>) -> String {
    let bytes: Vec<u8> = bytes.collect();
    let digest = Sha256::digest(&bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode<T: Output>(dtype: DType, bytes: &[u8]) -> Vec<T> {
    let decoder = decoder(dtype).unwrap();
    let mut out = vec![T::from_f32(0.0); decoder.elements_in(bytes.len())];
    decoder.decode_into(bytes, &mut out).unwrap();
    out
}

#[test]
fn every_ggml_type_has_a_digest_or_is_plain() {
    for &dtype in DType::ALL {
        if let Some(id) = dtype.ggml_id() {
            let digest = GOLDEN.iter().any(|golden| golden.id == id);
            assert_ne!(digest, PLAIN.contains(&dtype), "{dtype}");
        }
    }
    assert_eq!(GOLDEN.len(), 29);
}

/// Short enough to be interpreted: other byte orders and widths are tested that way.
#[test]
fn first_values_are_bit_equal_to_ggml() {
    for golden in GOLDEN {
        let dtype = DType::from_ggml_id(golden.id).unwrap();
        let values: Vec<f32> = decode(dtype, &blocks(dtype, 2));
        let bits = values.iter().map(|value| match value.is_nan() {
            true => 0x7fc0_0000,
            false => value.to_bits(),
        });
        assert!(bits.take(2).eq(golden.first), "{dtype}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes hours to interpret")]
fn values_are_bit_equal_to_ggml() {
    for golden in GOLDEN {
        let dtype = DType::from_ggml_id(golden.id).unwrap();
        let bytes = input(dtype);
        assert!(
            digest(bytes.iter().copied()).starts_with(golden.input),
            "{dtype}: input"
        );
        let values: Vec<f32> = decode(dtype, &bytes);
        let bits = values.iter().map(|value| match value.is_nan() {
            true => 0x7fc0_0000,
            false => value.to_bits(),
        });
        let bits: Vec<u32> = bits.collect();
        assert_eq!(bits[..2], golden.first, "{dtype}: first values");
        let not_a_number = values.iter().filter(|value| value.is_nan()).count();
        assert_eq!(not_a_number, golden.not_a_number, "{dtype}: NaN");
        let f32 = digest(bits.iter().flat_map(|bits| bits.to_le_bytes()));
        assert!(f32.starts_with(golden.f32), "{dtype}: f32");
        let f16 = decode::<f16>(dtype, &bytes)
            .into_iter()
            .flat_map(|value| match value.is_nan() {
                true => 0x7e00_u16.to_le_bytes(),
                false => value.to_bits().to_le_bytes(),
            });
        assert!(digest(f16).starts_with(golden.f16), "{dtype}: f16");
        let bf16 =
            decode::<bf16>(dtype, &bytes)
                .into_iter()
                .flat_map(|value| match value.is_nan() {
                    true => 0x7fc0_u16.to_le_bytes(),
                    false => value.to_bits().to_le_bytes(),
                });
        assert!(digest(bf16).starts_with(golden.bf16), "{dtype}: bf16");
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes hours to interpret")]
fn threads_do_not_change_a_value() {
    // Long enough for several tasks, and no multiple of a task.
    let dtype = DType::Q4_K;
    let bytes = input(dtype).repeat(5);
    let decoder = decoder(dtype).unwrap();
    let mut one = vec![0.0; decoder.elements_in(bytes.len())];
    decoder.decode_on_one_thread(&bytes, &mut one, false);
    let many: Vec<f32> = decode(dtype, &bytes);
    assert!(
        one.iter()
            .zip(&many)
            .all(|(one, many)| one.to_bits() == many.to_bits())
    );
}

#[test]
fn a_wrong_output_length_is_an_error() {
    let decoder = decoder(DType::Q4_0).unwrap();
    assert!(decoder.decode_into(&[0; 18], &mut [0.0_f32; 31]).is_err());
    assert!(decoder.decode_into(&[0; 17], &mut [0.0_f32; 32]).is_err());
    assert!(decoder.decode_into(&[0; 18], &mut [0.0_f32; 32]).is_ok());
}

#[test]
fn eight_bit_floats_follow_their_definition() {
    // Sign, exponent, mantissa, bias, in f64 with powi: no code shared with the tables.
    let finite = |code: u8, exponent_bits: u32, bias: i32| {
        let mantissa_bits = 7 - exponent_bits;
        let mantissa =
            f64::from(code & ((1 << mantissa_bits) - 1)) / f64::from(1_u32 << mantissa_bits);
        let exponent = i32::from((code & 0x7f) >> mantissa_bits);
        let magnitude = match exponent {
            0 => mantissa * 2.0_f64.powi(1 - bias),
            _ => (1.0 + mantissa) * 2.0_f64.powi(exponent - bias),
        };
        (if code & 0x80 == 0 {
            magnitude
        } else {
            -magnitude
        }) as f32
    };
    for code in 0..=255_u8 {
        let value = |dtype| decode::<f32>(dtype, &[code])[0];
        let low = code & 0x7f;
        let e4m3 = if low == 0x7f {
            f32::NAN
        } else {
            finite(code, 4, 7)
        };
        let e5m2 = match low {
            0x7c => finite(code & 0x80 | 1, 5, 15).signum() * f32::INFINITY,
            0x7d.. => f32::NAN,
            _ => finite(code, 5, 15),
        };
        let nuz = |exponent_bits, bias| match code {
            0x80 => f32::NAN,
            _ => finite(code, exponent_bits, bias),
        };
        let e8m0 = match code {
            255 => f32::NAN,
            _ => 2.0_f64.powi(i32::from(code) - 127) as f32,
        };
        for (dtype, expected) in [
            (DType::F8_E4M3, e4m3),
            (DType::F8_E5M2, e5m2),
            (DType::F8_E4M3FNUZ, nuz(4, 8)),
            (DType::F8_E5M2FNUZ, nuz(5, 16)),
            (DType::F8_E8M0, e8m0),
        ] {
            let found = value(dtype);
            let equal =
                found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(equal, "{dtype} {code:#x}: {found} is not {expected}");
        }
    }
}
