//! What opening a file that a test made led to.

use weighbridge::{Checkpoint, Error};

/// The error of a file, whose place must be where these bytes start in it.
pub fn error_at(file: &[u8], place: &[u8]) -> Error {
    let error = Checkpoint::from_bytes(file.to_vec()).unwrap_err();
    let at = file.windows(place.len()).position(|part| part == place);
    assert!(at.is_some(), "{error}");
    assert_eq!(error.offset(), at.map(|at| at as u64), "{error}");
    error
}

/// The code of the rule that was broken, if any was.
pub fn code(error: &Error) -> &'static str {
    error.as_malformed().map_or("", |rule| rule.code())
}

/// Whether a finding has this code and these words.
pub fn has(model: &Checkpoint, code: &str, words: &str) -> bool {
    let mut findings = model.findings();
    findings.any(|finding| finding.code == code && finding.message.contains(words))
}

/// The numbers of a tensor.
pub fn values(model: &Checkpoint, name: &str) -> Vec<f32> {
    let tensor = model.tensor(name).unwrap();
    let mut values = vec![0.0_f32; tensor.elements()];
    tensor.dequantize_into(&mut values).unwrap();
    values
}

/// What the judge says of a pickle of protocol 2: the codes and messages of its findings.
pub fn judged(
    policy: std::sync::Arc<weighbridge::Policy>,
    body: &[u8],
) -> Vec<(&'static str, String)> {
    use weighbridge::formats::pickle::{Judge, walk};
    let mut judge = Judge::new("", policy);
    let stream = [b"\x80\x02", body, b"."].concat();
    walk(&stream, 0, &mut judge, &mut Default::default()).unwrap();
    let findings = judge.into_findings();
    let findings = findings.as_slice().iter();
    findings
        .map(|finding| (finding.code, finding.message.to_string()))
        .collect()
}
