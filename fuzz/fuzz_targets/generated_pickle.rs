//! Pickles of any opcodes that mostly fit the stack: walked twice alike, opened, scanned, and put into a
//! checkpoint. A pickle that opens has no worse verdict than its scan.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weighbridge::Scanner;
use weighbridge_fuzz::builders::torch::checkpoint;
use weighbridge_fuzz::{generate, listing, using};

fuzz_target!(|data: &[u8]| {
    let pickle = generate::pickle::opcodes(data);
    let options = using::options();
    if let Ok(model) = options.from_bytes(pickle.clone()) {
        let again = options.from_bytes(pickle.clone()).expect("as before");
        assert_eq!(listing::of(&model), listing::of(&again));
        let report = Scanner::new().limits(using::limits()).bytes(&pickle);
        assert!(model.verdict() <= report.verdict());
    }
    using::open_and_use(&pickle);
    using::open_and_use(&checkpoint(&pickle));
});
