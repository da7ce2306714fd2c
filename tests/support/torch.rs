//! Torch checkpoints: pickles put together by hand, in an archive.

use super::zip::{Entry, Zip, entry};

/// A short text, as protocol 2 writes it.
pub fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![b'X'];
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

pub fn int(number: i32) -> Vec<u8> {
    let mut bytes = vec![b'J'];
    bytes.extend(number.to_le_bytes());
    bytes
}

pub fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

pub fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(".to_vec(), items.concat(), b"t".to_vec()].concat()
}

pub fn ints(numbers: &[i32]) -> Vec<u8> {
    tuple(
        &numbers
            .iter()
            .map(|&number| int(number))
            .collect::<Vec<_>>(),
    )
}

/// The persistent id of a storage, loaded.
pub fn storage(class: &str, key: &str, elements: i32) -> Vec<u8> {
    let id = tuple(&[
        text("storage"),
        global("torch", class),
        text(key),
        text("cpu"),
        int(elements),
    ]);
    [id, b"Q".to_vec()].concat()
}

/// `_rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())`.
pub fn tensor(storage: Vec<u8>, offset: i32, size: &[i32], stride: &[i32]) -> Vec<u8> {
    call(
        "torch._utils",
        "_rebuild_tensor_v2",
        &[
            storage,
            int(offset),
            ints(size),
            ints(stride),
            vec![0x89],
            call("collections", "OrderedDict", &[]),
        ],
    )
}

pub fn call(module: &str, name: &str, arguments: &[Vec<u8>]) -> Vec<u8> {
    [global(module, name), tuple(arguments), b"R".to_vec()].concat()
}

pub fn dict(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"}(".to_vec();
    for (key, value) in pairs {
        bytes.extend(key);
        bytes.extend(value);
    }
    bytes.push(b'u');
    bytes
}

/// A whole pickle of protocol 2.
pub fn pickle(body: Vec<u8>) -> Vec<u8> {
    [b"\x80\x02".to_vec(), body, b".".to_vec()].concat()
}

/// A pickle of one dict with one tensor `x`.
pub fn pickle_of(tensor: Vec<u8>) -> Vec<u8> {
    pickle(dict(&[(text("x"), tensor)]))
}

/// The members of a checkpoint: pickle, one storage of 8 bytes, version.
pub fn members(data_pkl: &[u8]) -> Vec<Entry> {
    vec![
        entry("archive/data.pkl", data_pkl),
        entry("archive/data/0", &[0, 0, 128, 63, 0, 0, 0, 64]),
        entry("archive/version", b"3\n"),
    ]
}

/// `{"x": tensor([1., 2.])}`.
pub fn good_pickle() -> Vec<u8> {
    pickle_of(tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]))
}

pub fn checkpoint(data_pkl: &[u8]) -> Vec<u8> {
    Zip::of(members(data_pkl)).build()
}

/// The stream of `torch.save` before 1.6: magic, version, system, object, storage keys, storages.
pub fn legacy(version: i32, object: Vec<u8>, keys: Vec<u8>, storages: &[u8]) -> Vec<u8> {
    [
        LEGACY_MAGIC.to_vec(),
        pickle(int(version)),
        pickle(b"}".to_vec()),
        object,
        pickle(keys),
        storages.to_vec(),
    ]
    .concat()
}

/// The first pickle of a legacy stream: torch's magic number.
pub const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// A legacy stream of one tensor `x` with two elements.
pub fn good_legacy() -> Vec<u8> {
    let keys = [b"](".to_vec(), text("0"), b"e".to_vec()].concat();
    let storage = [&2_i64.to_le_bytes()[..], &[0, 0, 128, 63, 0, 0, 0, 64]].concat();
    legacy(1001, good_pickle(), keys, &storage)
}

/// A dtype of NumPy's: its letter and size, and its byte order.
pub fn numpy_dtype(code: &str, order: &str) -> Vec<u8> {
    let flags = if code.starts_with('O') { 63 } else { 0 };
    let parts = [NONE, NONE, NONE, &int(-1), &int(-1), &int(flags)];
    numpy_dtype_with(code, &int(3), order, &parts)
}

/// A dtype whose state has these parts after its version and byte order: subarray, names, fields, item bytes,
/// alignment, flags.
pub fn numpy_dtype_with(code: &str, version: &[u8], order: &str, parts: &[&[u8]]) -> Vec<u8> {
    let dtype = call("numpy", "dtype", &[text(code), vec![0x89], vec![0x88]]);
    let order = text(order);
    let state = [b"(", version, &order, &parts.concat(), b"t"].concat();
    [dtype, state, b"b".to_vec()].concat()
}

/// `None`.
pub const NONE: &[u8] = b"N";

/// `_codecs.encode(text, "latin1")`: how protocol 2 writes bytes.
pub fn encoded(letters: &str) -> Vec<u8> {
    call("_codecs", "encode", &[text(letters), text("latin1")])
}

/// An array of NumPy's, in the order of C or of Fortran.
pub fn numpy_array(dtype: Vec<u8>, shape: &[i32], fortran: bool, data: Vec<u8>) -> Vec<u8> {
    let order = vec![if fortran { 0x88 } else { 0x89 }];
    let state = tuple(&[int(1), ints(shape), dtype, order, data]);
    [empty_array(), state, b"b".to_vec()].concat()
}

/// `_reconstruct(ndarray, (0,), b"b")`: an array without its state.
pub fn empty_array() -> Vec<u8> {
    call(
        "numpy._core.multiarray",
        "_reconstruct",
        &[global("numpy", "ndarray"), ints(&[0]), encoded("b")],
    )
}
