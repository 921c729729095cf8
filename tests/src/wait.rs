//! Waiting for something to become true, instead of sleeping and hoping.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Generous: what takes longer than this on any machine does not happen at all.
pub const LONG: Duration = Duration::from_secs(60);

/// What `attempt` comes to. Fails the test when it has come to nothing within `limit`, with its last reason.
pub fn until<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + limit;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(reason) if Instant::now() > end => panic!("waited {limit:?} in vain for {what}: {reason}"),
            Err(_) => sleep(PAUSE),
        }
    }
}

/// Waits until a condition holds.
pub fn until_true(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    until(what, limit, || condition().then_some(()).ok_or_else(|| "it is not so".to_owned()));
}
