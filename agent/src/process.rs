//! What a process of ours settles before it does anything: no core dumps, small pages, and how many threads there are.

use tokio::runtime::{Builder, Runtime};

/// Threads for what blocks: files, and the names of hosts. Each keeps some memory for ever, and fewer than a copy has objects
/// in flight keep a disk busy.
const BLOCKING: usize = 16;

/// To be called first in `main`. What cannot be had is said on stderr and is no error.
pub fn settle(program: &str) {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::prctl;
        // A core would hold the keys that requests are signed with.
        if let Err(error) = prctl::set_dumpable(false) {
            eprintln!("{program}: core dumps could not be switched off: {error}");
        }
        // With huge pages every run of small buffers takes 2 MiB: a listing then needs twice the memory, and gains nothing.
        if let Err(error) = prctl::set_thp_disable(true) {
            eprintln!("{program}: huge pages could not be switched off: {error}");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = program;
}

pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING).build()
}
