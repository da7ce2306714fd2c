//! Cases whose failure aborts the process: each has a process of its own, as many at a time as there are cores.

use std::process::Command;
use std::sync::Mutex;
use std::thread;

/// Runs the ignored test `child` of this program for each of `names`, which it finds in the environment under
/// `variable`; fails with the names of those that failed.
pub fn check_all<'n>(variable: &str, names: impl Iterator<Item = &'n str> + Send) {
    let (names, failed) = (Mutex::new(names), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let next = names.lock().unwrap().next();
            let Some(name) = next else {
                return;
            };
            if !succeeds(variable, name) {
                failed.lock().unwrap().push(name);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:?}");
}

fn succeeds(variable: &str, name: &str) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "child",
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(variable, name)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    println!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}
