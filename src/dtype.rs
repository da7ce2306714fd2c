//! The table of element types: every name and code that a format gives them, and their sizes.
//!
//! One row per type; everything else is derived from the rows, and checked at compile time.
//! Sources: safetensors 0.8.0 `src/tensor.rs` (`Dtype`); ggml 0.25.3 `ggml.h` (`enum ggml_type`)
//! and `ggml-common.h` (block layouts); torch 2.15.0 `_weights_only_unpickler.py` and `storage.py`.

#![forbid(unsafe_code)]

use std::fmt;

/// What the bits of an element mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// A floating-point number.
    Float,
    /// A signed integer in two's complement.
    Signed,
    /// An unsigned integer.
    Unsigned,
    /// One byte, 0 or 1.
    Boolean,
    /// Real and imaginary part, side by side.
    Complex,
    /// A ggml block: elements that share scales inside the block.
    Block,
    /// An integer whose scale and zero point stand outside the tensor (torch `quint8` and others).
    Quantized,
    /// Bits without arithmetic (torch `bits8` and others).
    Bits,
    /// Unknown to this library: name, shape and bytes only.
    Opaque,
}

/// A run of multi-byte fields in a block, whose bytes are swapped in a big-endian file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Byte offset of the first field in the block.
    pub offset: usize,
    /// Bytes of one field: 2, 4 or 8.
    pub bytes: usize,
    /// How many fields follow each other.
    pub count: usize,
}

const fn fields(offset: usize, bytes: usize, count: usize) -> Fields {
    Fields {
        offset,
        bytes,
        count,
    }
}

/// One row of the table.
struct Row {
    name: &'static str,
    class: Class,
    block_elements: usize,
    block_bytes: usize,
    swapped: &'static [Fields],
    ggml: Option<u32>,
    safetensors: bool,
    torch: Option<&'static str>,
    storage: Option<&'static str>,
}

const OPAQUE: Row = Row {
    name: "opaque",
    class: Class::Opaque,
    block_elements: 1,
    block_bytes: 0,
    swapped: &[],
    ggml: None,
    safetensors: false,
    torch: None,
    storage: None,
};

macro_rules! dtypes {
    ($($(#[$doc:meta])* $name:ident $class:ident $elements:literal / $bytes:literal
       [$($swapped:expr),*] ggml $ggml:expr, safetensors $safetensors:literal,
       torch $torch:expr, $storage:expr;)*) => {
        /// The type of a tensor's elements, spelled as its format spells it.
        ///
        /// # Example
        /// ```
        /// use weighbridge::DType;
        /// assert_eq!(DType::Q4_K.block_elements(), 256);
        /// assert_eq!(DType::Q4_K.block_bytes(), 144);
        /// assert_eq!(DType::from_safetensors("BF16"), Some(DType::BF16));
        /// assert_eq!(DType::BF16.bytes_for(3), Some(6));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(non_camel_case_types)]
        #[non_exhaustive]
        pub enum DType {
            $($(#[$doc])* $name,)*
            /// A type that this library does not know; the entry keeps the file's own code.
            Opaque,
        }

        impl DType {
            /// Every known type, in the order of the table. [`DType::Opaque`] is not among them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            #[inline]
            const fn row(self) -> &'static Row {
                match self {
                    $(Self::$name => {
                        const ROW: Row = Row {
                            name: stringify!($name),
                            class: Class::$class,
                            block_elements: $elements,
                            block_bytes: $bytes,
                            swapped: &[$($swapped),*],
                            ggml: $ggml,
                            safetensors: $safetensors,
                            torch: $torch,
                            storage: $storage,
                        };
                        &ROW
                    })*
                    Self::Opaque => &OPAQUE,
                }
            }
        }
    };
}

dtypes! {
    /// IEEE 754 binary32.
    F32 Float 1/4 [fields(0,4,1)] ggml Some(0), safetensors true, torch Some("float32"), Some("FloatStorage");
    /// IEEE 754 binary16.
    F16 Float 1/2 [fields(0,2,1)] ggml Some(1), safetensors true, torch Some("float16"), Some("HalfStorage");
    /// The upper half of a binary32.
    BF16 Float 1/2 [fields(0,2,1)] ggml Some(30), safetensors true, torch Some("bfloat16"), Some("BFloat16Storage");
    /// IEEE 754 binary64.
    F64 Float 1/8 [fields(0,8,1)] ggml Some(28), safetensors true, torch Some("float64"), Some("DoubleStorage");
    /// 8-bit signed integer.
    I8 Signed 1/1 [] ggml Some(24), safetensors true, torch Some("int8"), Some("CharStorage");
    /// 16-bit signed integer.
    I16 Signed 1/2 [fields(0,2,1)] ggml Some(25), safetensors true, torch Some("int16"), Some("ShortStorage");
    /// 32-bit signed integer.
    I32 Signed 1/4 [fields(0,4,1)] ggml Some(26), safetensors true, torch Some("int32"), Some("IntStorage");
    /// 64-bit signed integer.
    I64 Signed 1/8 [fields(0,8,1)] ggml Some(27), safetensors true, torch Some("int64"), Some("LongStorage");
    /// 8-bit unsigned integer.
    U8 Unsigned 1/1 [] ggml None, safetensors true, torch Some("uint8"), Some("ByteStorage");
    /// 16-bit unsigned integer.
    U16 Unsigned 1/2 [fields(0,2,1)] ggml None, safetensors true, torch Some("uint16"), None;
    /// 32-bit unsigned integer.
    U32 Unsigned 1/4 [fields(0,4,1)] ggml None, safetensors true, torch Some("uint32"), None;
    /// 64-bit unsigned integer.
    U64 Unsigned 1/8 [fields(0,8,1)] ggml None, safetensors true, torch Some("uint64"), None;
    /// One byte, 0 or 1.
    BOOL Boolean 1/1 [] ggml None, safetensors true, torch Some("bool"), Some("BoolStorage");
    /// Two binary16: real and imaginary part (torch `complex32`).
    C32 Complex 1/4 [fields(0,2,2)] ggml None, safetensors false, torch Some("complex32"), None;
    /// Two binary32: real and imaginary part.
    C64 Complex 1/8 [fields(0,4,2)] ggml None, safetensors true, torch Some("complex64"), Some("ComplexFloatStorage");
    /// Two binary64: real and imaginary part.
    C128 Complex 1/16 [fields(0,8,2)] ggml None, safetensors false, torch Some("complex128"), Some("ComplexDoubleStorage");
    /// Two bfloat16: real and imaginary part (torch `bcomplex32`).
    BC32 Complex 1/4 [fields(0,2,2)] ggml None, safetensors false, torch Some("bcomplex32"), None;
    /// 8-bit float, 4 exponent and 3 mantissa bits, no infinity (torch `float8_e4m3fn`).
    F8_E4M3 Float 1/1 [] ggml None, safetensors true, torch Some("float8_e4m3fn"), None;
    /// 8-bit float, 5 exponent and 2 mantissa bits.
    F8_E5M2 Float 1/1 [] ggml None, safetensors true, torch Some("float8_e5m2"), None;
    /// 8-bit exponent: 2^(byte − 127).
    F8_E8M0 Float 1/1 [] ggml None, safetensors true, torch Some("float8_e8m0fnu"), None;
    /// As `F8_E4M3` with bias 8, no negative zero, one NaN.
    F8_E4M3FNUZ Float 1/1 [] ggml None, safetensors true, torch Some("float8_e4m3fnuz"), None;
    /// As `F8_E5M2` with bias 16, no infinity, no negative zero, one NaN.
    F8_E5M2FNUZ Float 1/1 [] ggml None, safetensors true, torch Some("float8_e5m2fnuz"), None;
    /// 4-bit float, 2 exponent and 1 mantissa bit; two elements a byte.
    F4 Float 2/1 [] ggml None, safetensors true, torch None, None;
    /// 6-bit float, 2 exponent and 3 mantissa bits; four elements in three bytes.
    F6_E2M3 Float 4/3 [] ggml None, safetensors true, torch None, None;
    /// 6-bit float, 3 exponent and 2 mantissa bits; four elements in three bytes.
    F6_E3M2 Float 4/3 [] ggml None, safetensors true, torch None, None;
    /// Two `F4` in one byte, counted as one element (torch `float4_e2m1fn_x2`).
    F4_E2M1FN_X2 Bits 1/1 [] ggml None, safetensors false, torch Some("float4_e2m1fn_x2"), None;
    /// 8-bit signed integer with an outside scale (torch `qint8`).
    QINT8 Quantized 1/1 [] ggml None, safetensors false, torch Some("qint8"), Some("QInt8Storage");
    /// 8-bit unsigned integer with an outside scale (torch `quint8`).
    QUINT8 Quantized 1/1 [] ggml None, safetensors false, torch Some("quint8"), Some("QUInt8Storage");
    /// 32-bit signed integer with an outside scale (torch `qint32`).
    QINT32 Quantized 1/4 [fields(0,4,1)] ggml None, safetensors false, torch Some("qint32"), Some("QInt32Storage");
    /// Two 4-bit unsigned integers a byte, with an outside scale (torch `quint4x2`).
    QUINT4X2 Quantized 2/1 [] ggml None, safetensors false, torch Some("quint4x2"), Some("QUInt4x2Storage");
    /// Four 2-bit unsigned integers a byte, with an outside scale (torch `quint2x4`).
    QUINT2X4 Quantized 4/1 [] ggml None, safetensors false, torch Some("quint2x4"), Some("QUInt2x4Storage");
    /// 8 bits without arithmetic (torch `bits8`).
    BITS8 Bits 1/1 [] ggml None, safetensors false, torch Some("bits8"), None;
    /// 16 bits without arithmetic (torch `bits16`).
    BITS16 Bits 1/2 [fields(0,2,1)] ggml None, safetensors false, torch Some("bits16"), None;
    /// Eight 1-bit values in one byte, counted as one element (torch `bits1x8`).
    BITS1X8 Bits 1/1 [] ggml None, safetensors false, torch Some("bits1x8"), None;
    /// Four 2-bit values in one byte, counted as one element (torch `bits2x4`).
    BITS2X4 Bits 1/1 [] ggml None, safetensors false, torch Some("bits2x4"), None;
    /// Two 4-bit values in one byte, counted as one element (torch `bits4x2`).
    BITS4X2 Bits 1/1 [] ggml None, safetensors false, torch Some("bits4x2"), None;

    /// 4 bits, one scale for 32.
    Q4_0 Block 32/18 [fields(0,2,1)] ggml Some(2), safetensors false, torch None, None;
    /// 4 bits, scale and minimum for 32.
    Q4_1 Block 32/20 [fields(0,2,2)] ggml Some(3), safetensors false, torch None, None;
    /// 5 bits, one scale for 32.
    Q5_0 Block 32/22 [fields(0,2,1), fields(2,4,1)] ggml Some(6), safetensors false, torch None, None;
    /// 5 bits, scale and minimum for 32.
    Q5_1 Block 32/24 [fields(0,2,2), fields(4,4,1)] ggml Some(7), safetensors false, torch None, None;
    /// 8 bits, one scale for 32.
    Q8_0 Block 32/34 [fields(0,2,1)] ggml Some(8), safetensors false, torch None, None;
    /// 8 bits, scale and sum for 32 (an activation type).
    Q8_1 Block 32/36 [fields(0,2,2)] ggml Some(9), safetensors false, torch None, None;
    /// 2 bits, 4-bit scales and minimums for 16, super-block of 256.
    Q2_K Block 256/84 [fields(80,2,2)] ggml Some(10), safetensors false, torch None, None;
    /// 3 bits, 6-bit scales for 16, super-block of 256.
    Q3_K Block 256/110 [fields(108,2,1)] ggml Some(11), safetensors false, torch None, None;
    /// 4 bits, 6-bit scales and minimums for 32, super-block of 256.
    Q4_K Block 256/144 [fields(0,2,2)] ggml Some(12), safetensors false, torch None, None;
    /// 5 bits, 6-bit scales and minimums for 32, super-block of 256.
    Q5_K Block 256/176 [fields(0,2,2)] ggml Some(13), safetensors false, torch None, None;
    /// 6 bits, 8-bit scales for 16, super-block of 256.
    Q6_K Block 256/210 [fields(208,2,1)] ggml Some(14), safetensors false, torch None, None;
    /// 8 bits, one f32 scale for 256 (an activation type).
    Q8_K Block 256/292 [fields(0,4,1), fields(260,2,16)] ggml Some(15), safetensors false, torch None, None;
    /// 2.06 bits by codebook.
    IQ2_XXS Block 256/66 [fields(0,2,33)] ggml Some(16), safetensors false, torch None, None;
    /// 2.31 bits by codebook.
    IQ2_XS Block 256/74 [fields(0,2,33)] ggml Some(17), safetensors false, torch None, None;
    /// 3.06 bits by codebook.
    IQ3_XXS Block 256/98 [fields(0,2,1), fields(66,4,8)] ggml Some(18), safetensors false, torch None, None;
    /// 1.56 bits by codebook.
    IQ1_S Block 256/50 [fields(0,2,1), fields(34,2,8)] ggml Some(19), safetensors false, torch None, None;
    /// 4 bits by a non-linear table, one scale for 32.
    IQ4_NL Block 32/18 [fields(0,2,1)] ggml Some(20), safetensors false, torch None, None;
    /// 3.44 bits by codebook.
    IQ3_S Block 256/110 [fields(0,2,1)] ggml Some(21), safetensors false, torch None, None;
    /// 2.56 bits by codebook.
    IQ2_S Block 256/82 [fields(0,2,1)] ggml Some(22), safetensors false, torch None, None;
    /// 4 bits by a non-linear table, 6-bit scales for 32, super-block of 256.
    IQ4_XS Block 256/136 [fields(0,2,2)] ggml Some(23), safetensors false, torch None, None;
    /// 1.75 bits by codebook.
    IQ1_M Block 256/56 [fields(48,2,4)] ggml Some(29), safetensors false, torch None, None;
    /// 1.69 bits, ternary.
    TQ1_0 Block 256/54 [fields(52,2,1)] ggml Some(34), safetensors false, torch None, None;
    /// 2.06 bits, ternary.
    TQ2_0 Block 256/66 [fields(64,2,1)] ggml Some(35), safetensors false, torch None, None;
    /// 4-bit floats, one 8-bit exponent for 32 (OCP MX).
    MXFP4 Block 32/17 [] ggml Some(39), safetensors false, torch None, None;
    /// 4-bit floats, one 8-bit float scale for 16.
    NVFP4 Block 64/36 [] ggml Some(40), safetensors false, torch None, None;
    /// 1 bit, one scale for 128.
    Q1_0 Block 128/18 [fields(0,2,1)] ggml Some(41), safetensors false, torch None, None;
    /// 2 bits, one scale for 64.
    Q2_0 Block 64/18 [fields(0,2,1)] ggml Some(42), safetensors false, torch None, None;
}

/// ggml ids whose types were removed: a file that names one is refused as unknown.
/// Source: ggml 0.25.3 `ggml.h`, the commented-out rows of `enum ggml_type`.
pub const REMOVED_GGML_IDS: &[u32] = &[4, 5, 31, 32, 33, 36, 37, 38];

/// How many ggml ids are assigned (`GGML_TYPE_COUNT`): ids from here on are unknown.
pub const GGML_TYPE_COUNT: u32 = 43;

/// The types by their ggml ids: readers ask twice for every tensor.
#[expect(
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "evaluated at compile time, then read with `get`"
)]
static BY_GGML_ID: [Option<DType>; GGML_TYPE_COUNT as usize] = {
    let mut table = [None; GGML_TYPE_COUNT as usize];
    let mut at = 0;
    while at < DType::ALL.len() {
        let dtype = DType::ALL[at];
        if let Some(id) = dtype.ggml_id() {
            table[id as usize] = Some(dtype);
        }
        at += 1;
    }
    table
};

impl DType {
    /// The name: safetensors' or ggml's, torch's in capitals for types that only torch has.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// What an element's bits mean.
    #[must_use]
    pub const fn class(self) -> Class {
        self.row().class
    }

    /// Elements of the smallest unit that occupies whole bytes. 1 for most types.
    #[must_use]
    pub const fn block_elements(self) -> usize {
        self.row().block_elements
    }

    /// Bytes of that unit. 0 for [`DType::Opaque`].
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        self.row().block_bytes
    }

    /// The fields of a block that a big-endian file stores swapped.
    #[must_use]
    pub const fn swapped_fields(self) -> &'static [Fields] {
        self.row().swapped
    }

    /// The id in ggml's `enum ggml_type`.
    #[must_use]
    pub const fn ggml_id(self) -> Option<u32> {
        self.row().ggml
    }

    /// The type with this id in ggml's `enum ggml_type`.
    #[must_use]
    pub fn from_ggml_id(id: u32) -> Option<Self> {
        BY_GGML_ID.get(usize::try_from(id).ok()?).copied()?
    }

    /// The name in a safetensors header.
    #[must_use]
    pub const fn safetensors_name(self) -> Option<&'static str> {
        let row = self.row();
        if row.safetensors {
            Some(row.name)
        } else {
            None
        }
    }

    /// The type with this name in a safetensors header.
    #[must_use]
    pub fn from_safetensors(name: &str) -> Option<Self> {
        Self::find(|row| row.safetensors && row.name == name)
    }

    /// The name of the torch dtype, without the `torch.` prefix.
    #[must_use]
    pub const fn torch_name(self) -> Option<&'static str> {
        self.row().torch
    }

    /// The type with this torch dtype name.
    #[must_use]
    pub fn from_torch(name: &str) -> Option<Self> {
        Self::find(|row| row.torch == Some(name))
    }

    /// The type of this torch storage class, for example `FloatStorage`.
    #[must_use]
    pub fn from_torch_storage(class: &str) -> Option<Self> {
        Self::find(|row| row.storage == Some(class))
    }

    /// Whether several elements share bytes, so that a range must respect block borders.
    #[must_use]
    pub const fn is_block(self) -> bool {
        self.block_elements() > 1
    }

    /// Bytes of `elements` elements; `None` if they do not fill whole blocks or overflow 63 bits,
    /// and for [`DType::Opaque`].
    #[must_use]
    pub fn bytes_for(self, elements: u64) -> Option<u64> {
        if self == Self::Opaque {
            return None;
        }
        let block_elements = u64::try_from(self.block_elements()).ok()?;
        let block_bytes = u64::try_from(self.block_bytes()).ok()?;
        let fits = |&bytes: &u64| i64::try_from(bytes).is_ok();
        if block_elements == 1 {
            // No division for most types: readers ask this of every tensor.
            return elements.checked_mul(block_bytes).filter(fits);
        }
        if elements.checked_rem(block_elements)? != 0 {
            return None;
        }
        elements
            .checked_div(block_elements)?
            .checked_mul(block_bytes)
            .filter(fits)
    }

    fn find(wanted: impl Fn(&Row) -> bool) -> Option<Self> {
        Self::ALL.iter().copied().find(|dtype| wanted(dtype.row()))
    }
}

impl fmt::Display for DType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

// Checked when the crate is compiled: a row with a wrong size would misread every tensor after it.
const _: () = {
    let mut at = 0;
    let mut bits: u64 = 0;
    while at < DType::ALL.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
        let row = DType::ALL[at].row();
        assert!(row.block_elements > 0 && row.block_bytes > 0);
        if let Some(id) = row.ggml {
            assert!(id < GGML_TYPE_COUNT, "id is counted");
            let bit = 1_u64 << id;
            assert!(bits & bit == 0, "each ggml id stands once");
            bits |= bit;
        }
        let mut field = 0;
        while field < row.swapped.len() {
            #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
            let Fields {
                offset,
                bytes,
                count,
            } = row.swapped[field];
            let end = offset + bytes * count;
            assert!(end <= row.block_bytes, "fields lie inside the block");
            field += 1;
        }
        at += 1;
    }
    assert!(bits.count_ones() == 35, "35 live ggml types");
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ggml_id_is_live_or_removed() {
        for id in 0..GGML_TYPE_COUNT {
            let live = DType::from_ggml_id(id).is_some();
            assert_ne!(live, REMOVED_GGML_IDS.contains(&id), "id {id}");
        }
    }

    #[test]
    fn an_id_leads_to_the_type_that_has_it() {
        for id in (0..GGML_TYPE_COUNT + 300).chain([u32::MAX]) {
            let expected = DType::ALL.iter().find(|dtype| dtype.ggml_id() == Some(id));
            assert_eq!(DType::from_ggml_id(id), expected.copied(), "id {id}");
        }
    }

    #[test]
    fn table_has_the_official_counts() {
        let count = |wanted: fn(&Row) -> bool| {
            DType::ALL
                .iter()
                .filter(|dtype| wanted(dtype.row()))
                .count()
        };
        assert_eq!(count(|row| row.safetensors), 22);
        assert_eq!(count(|row| row.ggml.is_some()), 35);
        assert_eq!(count(|row| row.torch.is_some()), 33);
        assert_eq!(count(|row| row.storage.is_some()), 17);
    }

    #[test]
    fn safetensors_sizes_agree_with_the_official_crate() {
        let official = [
            safetensors::Dtype::BOOL,
            safetensors::Dtype::F4,
            safetensors::Dtype::F6_E2M3,
            safetensors::Dtype::F6_E3M2,
            safetensors::Dtype::U8,
            safetensors::Dtype::I8,
            safetensors::Dtype::F8_E5M2,
            safetensors::Dtype::F8_E4M3,
            safetensors::Dtype::F8_E8M0,
            safetensors::Dtype::F8_E4M3FNUZ,
            safetensors::Dtype::F8_E5M2FNUZ,
            safetensors::Dtype::I16,
            safetensors::Dtype::U16,
            safetensors::Dtype::F16,
            safetensors::Dtype::BF16,
            safetensors::Dtype::I32,
            safetensors::Dtype::U32,
            safetensors::Dtype::F32,
            safetensors::Dtype::C64,
            safetensors::Dtype::F64,
            safetensors::Dtype::I64,
            safetensors::Dtype::U64,
        ];
        for theirs in official {
            let name = theirs.to_string();
            let ours = DType::from_safetensors(&name).expect(&name);
            assert_eq!(ours.bytes_for(8), Some(theirs.bitsize() as u64), "{name}");
        }
    }

    #[test]
    fn partial_blocks_and_overflow_have_no_size() {
        assert_eq!(DType::Q4_0.bytes_for(33), None);
        assert_eq!(DType::F4.bytes_for(3), None);
        assert_eq!(DType::F64.bytes_for(1 << 60), None);
        assert_eq!(DType::F32.bytes_for(u64::MAX), None);
        assert_eq!(DType::Opaque.bytes_for(1), None);
        assert_eq!(DType::F64.bytes_for(0), Some(0));
    }
}
