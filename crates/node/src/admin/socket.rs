//! The admin socket: whoever may open it may do everything, so the file's owner and mode decide.

use crate::port::{self, Caller, Connection};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;

/// Its owner and its group.
const MODE: u32 = 0o660;

/// Why there is no admin socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something else has its name.
    #[error("{} is in the way of the admin socket; it is not a socket: move it away", .0.display())]
    InTheWay(PathBuf),
    /// The operating system refused.
    #[error("cannot make the admin socket {}: {source}; see that this user may write there and that the path is shorter than 108 bytes", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Makes the socket `path`, in place of one that a process which has ended left there. The caller holds the lock of
/// the data folder, so no other process uses it.
///
/// # Errors
/// It cannot be made.
pub fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::InTheWay(path.to_owned())),
        Ok(_) => fs::remove_file(path).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed)?;
    Ok(listener)
}

/// Serves `routes` to whoever may open the socket, until `shutdown`.
///
/// # Errors
/// tonic's server failed as a whole.
pub async fn serve(
    listener: UnixListener,
    routes: Routes,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let local = |stream: io::Result<UnixStream>| {
        let user = |stream: &UnixStream| stream.peer_cred().ok().map(|credentials| credentials.uid());
        stream.map(|stream| {
            let caller = Caller::Local(user(&stream));
            Connection::new(stream, caller)
        })
    };
    let incoming = UnixListenerStream::new(listener).map(local);
    port::server().add_routes(routes).serve_with_incoming_shutdown(incoming, shutdown).await
}
