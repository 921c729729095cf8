//! How other threads speak to the serving loop: they leave a call and are answered, and the loop never waits for them.

use crate::udp::Waker;
use standfast_core::input::{Command, Input};
use standfast_core::node::Node;
use standfast_core::output::CommandResult;
use standfast_core::time::Now;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::sync::oneshot;

/// Calls that wait at the most; more are refused, so that operators cannot starve clients.
const WAITING: usize = 256;

type Look = Box<dyn FnOnce(&Node, Now) + Send>;

/// Something for the serving loop.
pub(crate) enum Call {
    /// Tell the core, and whoever asked, what became of it.
    Command(Command, oneshot::Sender<CommandResult>),
    /// Let somebody look at the core.
    Look(Look),
    /// Something happened outside.
    Input(Input),
}

/// Speaks to the serving loop of one node.
#[derive(Clone)]
pub struct NodeHandle {
    calls: SyncSender<Call>,
    waker: Waker,
}

/// The serving loop takes no calls: it has ended, or too many wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the node is stopping, or too busy to be asked")]
pub struct Unavailable;

impl NodeHandle {
    /// A handle, and what the serving loop takes calls from.
    pub(crate) fn new(waker: Waker) -> (Self, Receiver<Call>) {
        let (calls, taken) = sync_channel(WAITING);
        (Self { calls, waker }, taken)
    }

    /// Has the core do something and waits for what becomes of it.
    ///
    /// # Errors
    /// The node is stopping or too busy.
    pub async fn command(&self, command: Command) -> Result<CommandResult, Unavailable> {
        let (answer, answered) = oneshot::channel();
        self.leave(Call::Command(command, answer))?;
        answered.await.map_err(|_| Unavailable)
    }

    /// Looks at the core, on the serving loop: `look` must be quick.
    ///
    /// # Errors
    /// The node is stopping or too busy.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Node, Now) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let look = move |node: &Node, now| {
            // Whoever asked may have gone.
            let _ = answer.send(look(node, now));
        };
        self.leave(Call::Look(Box::new(look)))?;
        answered.await.map_err(|_| Unavailable)
    }

    /// Tells the core that something happened.
    ///
    /// # Errors
    /// The node is stopping or too busy.
    pub(crate) fn tell(&self, input: Input) -> Result<(), Unavailable> {
        self.leave(Call::Input(input))
    }

    fn leave(&self, call: Call) -> Result<(), Unavailable> {
        self.calls.try_send(call).map_err(|_| Unavailable)?;
        self.waker.wake();
        Ok(())
    }
}
