//! Runs the fence command: the operator's own program, which must leave the partner's machine off when it exits 0.

use crate::handle::NodeHandle;
use standfast_core::configuration::Configuration;
use standfast_core::id::RelationshipName;
use standfast_core::input::Input;
use std::process::{Command, Stdio};
use std::thread;

/// Runs the fence command of a relationship on a thread of its own and tells the core how it ended.
pub(crate) fn run(configuration: &Configuration, relationship: RelationshipName, handle: NodeHandle) {
    let settings = configuration.relationships.iter().find(|settings| settings.name == relationship);
    let Some([program, arguments @ ..]) = settings.map(|settings| settings.failover.fence_command.as_slice()) else {
        return;
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    thread::spawn(move || {
        let success = match command.status() {
            Ok(status) => status.success(),
            Err(error) => {
                tracing::error!(%error, program = ?command.get_program(), "the fence command could not be run");
                false
            }
        };
        // Fails only while the node stops.
        let _ = handle.tell(Input::Fenced { relationship, success });
    });
}
