#![allow(missing_docs)]
#[test]
fn placeholder() {}
