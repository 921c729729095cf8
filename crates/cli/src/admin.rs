//! The way to a node: its admin socket on this machine, or its port with an operator's certificate.
//!
//! What can be wrong on the way is told apart by what is to be done about it: a node that does not run, a door that
//! is closed to this user, a certificate that is not one of an operator.

use crate::exit::{Exit, Failure, Outcome};
use crate::tls;
use clap::Args;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use standfast_rpc::convert::MAX_TEXT;
use standfast_rpc::proto::admin_service_client::AdminServiceClient;
use standfast_rpc::tls::{Role, TlsFiles};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

/// Where a node keeps its store and its admin socket unless told otherwise.
pub(crate) const DEFAULT_DATA_DIR: &str = "/var/lib/standfast";
/// The admin socket in the data folder.
pub(crate) const SOCKET: &str = "admin.sock";

/// A node that does not take a connection within this is unreachable.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// The longest answer is a cluster file.
const MAX_ANSWER: usize = MAX_TEXT + (1 << 20);

pub(crate) type Client = AdminServiceClient<InterceptedService<Channel, Reason>>;

/// The metadata of a request that says why it is made.
const REASON: &str = "standfast-reason-bin";

/// Why an operator does what they do; goes with every request.
#[derive(Clone, Debug)]
pub(crate) struct Reason(Option<String>);

impl Interceptor for Reason {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(reason) = &self.0 {
            request.metadata_mut().insert_bin(REASON, MetadataValue::from_bytes(reason.as_bytes()));
        }
        Ok(request)
    }
}

/// Which node to ask.
#[derive(Args, Clone, Debug)]
pub(crate) struct Server {
    /// The node to ask: the path of its admin socket, or HOST:PORT with an operator's certificate; by default the
    /// socket in the data folder
    #[arg(long, value_name = "ADDRESS", help_heading = "Which node")]
    server: Option<String>,
    /// The data folder of the node on this machine
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR, help_heading = "Which node")]
    data_dir: PathBuf,
    /// The folder with the operator's certificate, for HOST:PORT
    #[arg(long, value_name = "DIR", default_value = tls::DEFAULT_DIR, help_heading = "Which node")]
    tls_dir: PathBuf,
    /// Whose certificate in that folder, if it has those of several people
    #[arg(long = "as", value_name = "NAME", help_heading = "Which node")]
    operator: Option<String>,
    /// Why you do this, for the event log of the node
    #[arg(long, value_name = "TEXT", help_heading = "Which node")]
    reason: Option<String>,
}

/// The door that was chosen.
#[derive(PartialEq, Eq, Debug)]
enum Door {
    Socket(PathBuf),
    Port(String),
}

impl Server {
    /// The admin socket at `path`.
    pub(crate) fn at_socket(path: &Path) -> Self {
        Self {
            server: Some(path.display().to_string()),
            data_dir: PathBuf::new(),
            tls_dir: PathBuf::new(),
            operator: None,
            reason: None,
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// With what to do about it.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        let channel = match self.door() {
            Door::Socket(path) => connect_socket(path).await,
            Door::Port(address) => connect_port(address, self.operator_files()?).await,
        }?;
        let client = AdminServiceClient::with_interceptor(channel, Reason(self.reason.clone()));
        Ok(client.max_decoding_message_size(MAX_ANSWER).max_encoding_message_size(MAX_ANSWER))
    }

    fn door(&self) -> Door {
        let Some(server) = &self.server else { return Door::Socket(self.data_dir.join(SOCKET)) };
        let is_port =
            server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) && !server.contains('/');
        if is_port { Door::Port(server.clone()) } else { Door::Socket(server.into()) }
    }

    fn operator_files(&self) -> Result<TlsFiles, Failure> {
        let not_authorised = |error: &dyn std::fmt::Display| Failure::new(Exit::NotAuthorised, error);
        if let Some(name) = &self.operator {
            return TlsFiles::load(&self.tls_dir, name).map_err(|error| not_authorised(&error));
        }
        let dir = self.tls_dir.display();
        let mut found = people_in(&self.tls_dir).map_err(|error| not_authorised(&format!("{dir}: {error}")))?;
        match (found.pop(), found.pop()) {
            (Some(files), None) => Ok(files),
            (None, _) => Err(not_authorised(&format!(
                "there is no operator's certificate in {dir}: issue one with `standfast tls issue --operator NAME`, or \
                 name its folder with --tls-dir"
            ))),
            (Some(one), Some(other)) => Err(not_authorised(&format!(
                "{dir} has certificates of several people: say `--as {}` or `--as {}`",
                other.identity().name,
                one.identity().name
            ))),
        }
    }
}

/// The certificates of operators and viewers in a folder, by name.
fn people_in(dir: &Path) -> io::Result<Vec<TlsFiles>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let is_certificate = path.extension().is_some_and(|extension| extension == "pem");
        let name = path.file_stem().and_then(|stem| stem.to_str()).filter(|name| is_certificate && *name != "ca");
        names.extend(name.map(str::to_owned));
    }
    names.sort();
    let files = names.iter().filter_map(|name| TlsFiles::load(dir, name).ok());
    Ok(files.filter(|files| matches!(files.identity().role, Role::Operator | Role::Viewer)).collect())
}

/// The connector decides where the connection goes; the library wants an address all the same.
fn endpoint() -> Endpoint {
    Endpoint::from_static("http://node").connect_timeout(CONNECT_DEADLINE)
}

async fn connect_socket(path: PathBuf) -> Result<Channel, Failure> {
    let at = path.clone();
    let connector = service_fn(move |_: Uri| {
        let path = path.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    });
    endpoint().connect_with_connector(connector).await.map_err(|error| no_socket(&at, &error))
}

async fn connect_port(address: String, files: TlsFiles) -> Result<Channel, Failure> {
    let at = address.clone();
    let connector = TlsConnector::from(files.client_config_of_any_node());
    let connector = service_fn(move |_: Uri| {
        let (address, connector) = (address.clone(), connector.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            // Any node may answer: the certificate says which it is, and the name here is not looked at.
            let name = ServerName::try_from("node").map_err(io::Error::other)?;
            Ok::<_, io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    endpoint().connect_with_connector(connector).await.map_err(|error| no_port(&at, &error))
}

fn no_socket(path: &Path, error: &tonic::transport::Error) -> Failure {
    let path = path.display();
    match io_cause(error).map(io::Error::kind) {
        Some(io::ErrorKind::PermissionDenied) => Failure::new(
            Exit::NotAuthorised,
            format!("{path} is closed to this user: use sudo, or join the group that owns it"),
        ),
        Some(io::ErrorKind::NotFound) => Failure::new(
            Exit::Unreachable,
            format!(
                "no node has run with {path} here: start one with `standfast serve`, or say which with --data-dir or \
                 --server"
            ),
        ),
        Some(io::ErrorKind::ConnectionRefused) => Failure::new(
            Exit::Unreachable,
            format!("the node at {path} does not run: start it, or ask its partner with --server HOST:PORT"),
        ),
        _ => Failure::new(Exit::Unreachable, format!("no connection to {path}: {}", deepest(error))),
    }
}

fn no_port(address: &str, error: &tonic::transport::Error) -> Failure {
    if let Some(why) = tls_cause(error) {
        return Failure::new(Exit::NotAuthorised, format!("no trust between you and {address}: {why}"));
    }
    Failure::new(
        Exit::Unreachable,
        format!(
            "no connection to {address}: {}; is the node running, is this its `rpc` address in the cluster file, and \
             does a firewall let it through?",
            deepest(error)
        ),
    )
}

/// What a refused or broken call comes to.
pub(crate) fn failed(status: &tonic::Status) -> Failure {
    let message = status.message();
    match status.code() {
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => Failure::new(
            Exit::NotAuthorised,
            format!("{message}; an operator's certificate comes from `standfast tls issue --operator NAME`"),
        ),
        // A certificate that the node does not take is refused only once the connection stands.
        _ if tls_cause(status).is_some() => Failure::new(
            Exit::NotAuthorised,
            format!("the node does not trust this certificate: {}", tls_cause(status).unwrap_or_default()),
        ),
        tonic::Code::Unavailable => Failure::new(Exit::Unreachable, format!("the node went away: {message}")),
        tonic::Code::Ok
        | tonic::Code::Cancelled
        | tonic::Code::Unknown
        | tonic::Code::InvalidArgument
        | tonic::Code::DeadlineExceeded
        | tonic::Code::NotFound
        | tonic::Code::AlreadyExists
        | tonic::Code::ResourceExhausted
        | tonic::Code::FailedPrecondition
        | tonic::Code::Aborted
        | tonic::Code::OutOfRange
        | tonic::Code::Unimplemented
        | tonic::Code::Internal
        | tonic::Code::DataLoss => Failure::new(Exit::Failed, message),
    }
}

/// Runs a command that waits for a node.
pub(crate) fn block_on(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(command);
    // A thread that reads the keyboard ends only with the process.
    runtime.shutdown_background();
    outcome
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn io_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The words of the trouble that certificates made, if they did.
fn tls_cause(error: &(dyn Error + 'static)) -> Option<String> {
    let inner = causes(error).find_map(|cause| {
        let io = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let boxed = io.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        boxed.or_else(|| cause.downcast_ref())
    })?;
    Some(standfast_rpc::tls::explain(inner).map_or_else(|| inner.to_string(), str::to_owned))
}

fn deepest(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(server: Option<&str>) -> Door {
        Server { server: server.map(str::to_owned), ..Server::at_socket(Path::new("")) }.door()
    }

    #[test]
    fn an_address_is_a_socket_or_a_port() {
        let (socket, port) = (|path: &str| Door::Socket(path.into()), |address: &str| Door::Port(address.into()));
        assert_eq!(door(None), socket(SOCKET));
        assert_eq!(door(Some("/run/a:1/admin.sock")), socket("/run/a:1/admin.sock"));
        assert_eq!(door(Some("admin.sock")), socket("admin.sock"));
        assert_eq!(door(Some("dhcp-a:6767")), port("dhcp-a:6767"));
        assert_eq!(door(Some("[::1]:6767")), port("[::1]:6767"));
    }
}
