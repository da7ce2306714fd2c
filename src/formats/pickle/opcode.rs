//! The 68 opcodes: one table, from which decoding is derived.
//!
//! Source: CPython 3.11 `Lib/pickletools.py` (arguments) and `Lib/pickle.py` (effects).

/// How the argument of an opcode is written. All numbers are little-endian but `F64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// None.
    None,
    /// 1 byte, unsigned.
    U8,
    /// 2 bytes, unsigned.
    U16,
    /// 4 bytes, signed.
    I32,
    /// 4 bytes, unsigned.
    U32,
    /// 8 bytes, unsigned.
    U64,
    /// 8 bytes, big-endian floating point.
    F64,
    /// Text up to a newline, which is not part of it.
    Line,
    /// Two lines.
    TwoLines,
    /// A length of 1 byte, then as many bytes.
    Bytes8,
    /// A signed length of 4 bytes, then as many bytes.
    BytesI32,
    /// An unsigned length of 4 bytes, then as many bytes.
    Bytes32,
    /// A length of 8 bytes, then as many bytes.
    Bytes64,
}

macro_rules! opcodes {
    ($($variant:ident $byte:literal $name:literal $protocol:literal $argument:ident;)*) => {
        /// One opcode of the pickle machine, named as in `pickletools`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "documented by pickletools")]
        pub enum Opcode {
            $($variant,)*
        }

        impl Opcode {
            /// Every opcode.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The opcode of a byte.
            #[must_use]
            #[inline]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte { $($byte => Some(Self::$variant),)* _ => None }
            }

            /// The byte.
            #[must_use]
            pub const fn byte(self) -> u8 {
                match self { $(Self::$variant => $byte,)* }
            }

            /// The name in `pickletools`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The protocol that introduced it.
            #[must_use]
            pub const fn protocol(self) -> u8 {
                match self { $(Self::$variant => $protocol,)* }
            }

            #[inline]
            pub(super) const fn argument(self) -> Argument {
                match self { $(Self::$variant => Argument::$argument,)* }
            }
        }
    };
}

opcodes! {
    Int b'I' "INT" 0 Line;
    BinInt b'J' "BININT" 1 I32;
    BinInt1 b'K' "BININT1" 1 U8;
    BinInt2 b'M' "BININT2" 1 U16;
    Long b'L' "LONG" 0 Line;
    Long1 0x8a "LONG1" 2 Bytes8;
    Long4 0x8b "LONG4" 2 BytesI32;
    String b'S' "STRING" 0 Line;
    BinString b'T' "BINSTRING" 1 BytesI32;
    ShortBinString b'U' "SHORT_BINSTRING" 1 Bytes8;
    BinBytes b'B' "BINBYTES" 3 Bytes32;
    ShortBinBytes b'C' "SHORT_BINBYTES" 3 Bytes8;
    BinBytes8 0x8e "BINBYTES8" 4 Bytes64;
    ByteArray8 0x96 "BYTEARRAY8" 5 Bytes64;
    NextBuffer 0x97 "NEXT_BUFFER" 5 None;
    ReadonlyBuffer 0x98 "READONLY_BUFFER" 5 None;
    None b'N' "NONE" 0 None;
    NewTrue 0x88 "NEWTRUE" 2 None;
    NewFalse 0x89 "NEWFALSE" 2 None;
    Unicode b'V' "UNICODE" 0 Line;
    ShortBinUnicode 0x8c "SHORT_BINUNICODE" 4 Bytes8;
    BinUnicode b'X' "BINUNICODE" 1 Bytes32;
    BinUnicode8 0x8d "BINUNICODE8" 4 Bytes64;
    Float b'F' "FLOAT" 0 Line;
    BinFloat b'G' "BINFLOAT" 1 F64;
    EmptyList b']' "EMPTY_LIST" 1 None;
    Append b'a' "APPEND" 0 None;
    Appends b'e' "APPENDS" 1 None;
    List b'l' "LIST" 0 None;
    EmptyTuple b')' "EMPTY_TUPLE" 1 None;
    Tuple b't' "TUPLE" 0 None;
    Tuple1 0x85 "TUPLE1" 2 None;
    Tuple2 0x86 "TUPLE2" 2 None;
    Tuple3 0x87 "TUPLE3" 2 None;
    EmptyDict b'}' "EMPTY_DICT" 1 None;
    Dict b'd' "DICT" 0 None;
    SetItem b's' "SETITEM" 0 None;
    SetItems b'u' "SETITEMS" 1 None;
    EmptySet 0x8f "EMPTY_SET" 4 None;
    AddItems 0x90 "ADDITEMS" 4 None;
    FrozenSet 0x91 "FROZENSET" 4 None;
    Pop b'0' "POP" 0 None;
    Dup b'2' "DUP" 0 None;
    Mark b'(' "MARK" 0 None;
    PopMark b'1' "POP_MARK" 1 None;
    Get b'g' "GET" 0 Line;
    BinGet b'h' "BINGET" 1 U8;
    LongBinGet b'j' "LONG_BINGET" 1 U32;
    Put b'p' "PUT" 0 Line;
    BinPut b'q' "BINPUT" 1 U8;
    LongBinPut b'r' "LONG_BINPUT" 1 U32;
    Memoize 0x94 "MEMOIZE" 4 None;
    Ext1 0x82 "EXT1" 2 U8;
    Ext2 0x83 "EXT2" 2 U16;
    Ext4 0x84 "EXT4" 2 I32;
    Global b'c' "GLOBAL" 0 TwoLines;
    StackGlobal 0x93 "STACK_GLOBAL" 4 None;
    Reduce b'R' "REDUCE" 0 None;
    Build b'b' "BUILD" 0 None;
    Inst b'i' "INST" 0 TwoLines;
    Obj b'o' "OBJ" 1 None;
    NewObj 0x81 "NEWOBJ" 2 None;
    NewObjEx 0x92 "NEWOBJ_EX" 4 None;
    Proto 0x80 "PROTO" 2 U8;
    Stop b'.' "STOP" 0 None;
    Frame 0x95 "FRAME" 4 U64;
    PersId b'P' "PERSID" 0 Line;
    BinPersId b'Q' "BINPERSID" 1 None;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_eight_opcodes_each_found_by_its_byte() {
        assert_eq!(Opcode::ALL.len(), 68);
        for &opcode in Opcode::ALL {
            assert_eq!(Opcode::from_byte(opcode.byte()), Some(opcode));
        }
        let known = (0..=u8::MAX).filter(|&byte| Opcode::from_byte(byte).is_some());
        assert_eq!(known.count(), 68);
    }
}
