//! Everything that a pickle can stand in.

use super::support::tar::{file, tar};
use super::support::torch::{checkpoint, good_pickle, members, pickle};
use super::support::zip::{Zip, deflated, entry};

pub type Wrap = fn(&[u8]) -> Vec<u8>;

pub const ALL: &[(&str, Wrap)] = &[
    ("a bare pickle", <[u8]>::to_vec),
    ("a torch archive", checkpoint),
    ("a deflated torch archive", deflated_checkpoint),
    ("a legacy stream", legacy_object),
    ("a legacy stream's system info", legacy_system_info),
    ("a NumPy file", npy),
    ("a NumPy archive", npz),
    ("a gzip file", gzip),
    ("a zlib file", zlib),
    ("a checkpoint in a tar", tarred),
    ("a checkpoint in a gzipped tar", gzipped_tar),
    ("an archive in an archive", nested),
    ("the constants of TorchScript", constants),
    ("the debug information of TorchScript", debug),
    ("a pickle behind a pickle", stacked),
    ("a resource of torch.package", package),
    ("sample inputs of PT2", sample_input),
    ("a member beside the pickle", beside),
    ("a zip of no framework", any_zip),
];

/// A tuple of two pickles' worth of nothing, then the pickle.
fn stacked(body: &[u8]) -> Vec<u8> {
    [b"\x80\x02N.", body].concat()
}

fn deflated_checkpoint(body: &[u8]) -> Vec<u8> {
    Zip::of(vec![
        deflated("archive/data.pkl", body),
        entry("archive/version", b"3\n"),
    ])
    .build()
}

const MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
const VERSION: &[u8] = b"\x80\x02M\xe9\x03.";

fn legacy_object(body: &[u8]) -> Vec<u8> {
    [MAGIC, VERSION, b"\x80\x02}.", body, b"\x80\x02]."].concat()
}

fn legacy_system_info(body: &[u8]) -> Vec<u8> {
    [MAGIC, VERSION, body, b"\x80\x02}.", b"\x80\x02]."].concat()
}

fn npy(body: &[u8]) -> Vec<u8> {
    let header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }                                    \n";
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header, body].concat()
}

fn npz(body: &[u8]) -> Vec<u8> {
    Zip::of(vec![deflated("a.npy", &npy(body))]).build()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn tarred(body: &[u8]) -> Vec<u8> {
    tar(&[
        file("model_config.yaml", b"a: 1\n"),
        file("model_weights.ckpt", &checkpoint(body)),
    ])
}

fn gzipped_tar(body: &[u8]) -> Vec<u8> {
    gzip(&tarred(body))
}

fn nested(body: &[u8]) -> Vec<u8> {
    let inner = Zip::of(vec![entry("inner.pt", &checkpoint(body))]).build();
    Zip::of(vec![deflated("model/outer.bin", &inner)]).build()
}

fn constants(body: &[u8]) -> Vec<u8> {
    let mut members = members(&good_pickle());
    members.push(entry("archive/constants.pkl", body));
    Zip::of(members).build()
}

fn debug(body: &[u8]) -> Vec<u8> {
    let mut members = members(&good_pickle());
    members.push(entry("archive/constants.pkl", &pickle(b")".to_vec())));
    members.push(entry("archive/code/__torch__.py", b"def f(): pass\n"));
    members.push(entry("archive/code/__torch__.py.debug_pkl", body));
    Zip::of(members).build()
}

fn package(body: &[u8]) -> Vec<u8> {
    Zip::of(vec![
        entry("archive/.data/extern_modules", b"torch\n"),
        entry("archive/.data/version", b"6\n"),
        entry("archive/models/model.pkl", body),
    ])
    .build()
}

fn sample_input(body: &[u8]) -> Vec<u8> {
    Zip::of(vec![
        entry("archive/archive_format", b"pt2"),
        entry("archive/.data/version", b"6\n"),
        entry("archive/data/sample_inputs/model.pt", &checkpoint(body)),
    ])
    .build()
}

fn beside(body: &[u8]) -> Vec<u8> {
    let mut members = members(&good_pickle());
    members.push(entry("archive/extra/handler.pkl", body));
    Zip::of(members).build()
}

fn any_zip(body: &[u8]) -> Vec<u8> {
    Zip::of(vec![
        entry("MAR-INF/MANIFEST.json", b"{}"),
        deflated("weights.pt", body),
    ])
    .build()
}
