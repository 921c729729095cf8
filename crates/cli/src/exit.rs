//! How a command ends: a number for scripts, and for people what was wrong and what to do.

use crate::output;
use std::fmt;
use std::process::ExitCode;

/// Shown below the help of the binary.
pub(crate) const HELP: &str = "Exit status: 0 done, 1 failed, 2 wrong command line, 10 bad configuration, \
     20 refused for safety, 30 unreachable, 31 not authorised, 40 degraded";

/// The status of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    BadConfiguration = 10,
    Refused = 20,
    Unreachable = 30,
    NotAuthorised = 31,
    Degraded = 40,
}

/// Why a command was not done.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What a command comes to.
pub(crate) type Outcome = Result<Exit, Failure>;

/// Ends the process: a failure is said on standard error.
pub(crate) fn end(outcome: Outcome) -> ExitCode {
    let exit = outcome.unwrap_or_else(|failure| {
        output::error(&format!("standfast: {}", failure.message));
        failure.exit
    });
    ExitCode::from(exit as u8)
}
