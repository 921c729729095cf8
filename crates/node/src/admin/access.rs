//! Who may look, and who may change things: by the role in the certificate, or by leave to open the admin socket.

use crate::port::Caller;
use standfast_rpc::tls::Role;
use std::fmt;
use tonic::{Request, Status};

/// The metadata of a request that says why it is made.
const REASON: &str = "standfast-reason-bin";
/// Bytes of a reason that are kept.
const MAX_REASON: usize = 500;

/// Whose command it is, for the log.
#[derive(Clone, Debug)]
pub(super) struct Who {
    caller: Caller,
    /// Why they say they do it.
    reason: Option<String>,
}

impl Who {
    /// Who it is.
    pub(super) fn name(&self) -> String {
        Self { reason: None, ..self.clone() }.to_string()
    }

    /// Why they say they do it.
    pub(super) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.caller {
            Caller::Certificate(identity, _) => f.write_str(&identity.name),
            Caller::Local(Some(user)) => write!(f, "user {user} at the admin socket"),
            Caller::Local(None) => f.write_str("someone at the admin socket"),
        }?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// Lets operators and viewers look.
pub(super) fn may_look<T>(request: &Request<T>) -> Result<(), Status> {
    let Caller::Certificate(identity, _) = caller(request)? else { return Ok(()) };
    match identity.role {
        Role::Operator | Role::Viewer => Ok(()),
        Role::Peer => {
            let name = &identity.name;
            Err(Status::permission_denied(format!(
                "the certificate `{name}` is a peer's, not an operator's or viewer's"
            )))
        }
    }
}

/// Lets operators change things.
pub(super) fn may_change<T>(request: &Request<T>) -> Result<Who, Status> {
    let caller = caller(request)?;
    if let Caller::Certificate(identity, _) = &caller
        && identity.role != Role::Operator
    {
        let (name, role) = (&identity.name, identity.role);
        return Err(Status::permission_denied(format!("the certificate `{name}` is a {role}'s, not an operator's")));
    }
    Ok(Who { caller, reason: reason(request) })
}

/// What an operator says, made harmless for whoever reads it.
fn reason<T>(request: &Request<T>) -> Option<String> {
    let bytes = request.metadata().get_bin(REASON)?.to_bytes().ok()?;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_REASON)]).into_owned();
    Some(text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect())
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request.extensions().get().cloned().ok_or_else(|| Status::unauthenticated("nobody knows who you are"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_core::time::Wall;
    use standfast_rpc::tls::Identity;
    use std::sync::Arc;

    fn request(caller: Option<Caller>) -> Request<()> {
        let mut request = Request::new(());
        caller.map(|caller| request.extensions_mut().insert(caller));
        request
    }

    fn with(role: Role) -> Request<()> {
        let (name, cluster) = ("alice".to_owned(), "hq".to_owned());
        let identity = Identity { name, role, cluster, not_after: Wall(0) };
        request(Some(Caller::Certificate(Arc::new(identity), ([127, 0, 0, 1], 1).into())))
    }

    #[test]
    fn a_viewer_looks_an_operator_changes_a_peer_does_neither() {
        let may = |request: &Request<()>| (may_look(request).is_ok(), may_change(request).is_ok());
        assert_eq!(may(&request(Some(Caller::Local(Some(0))))), (true, true));
        assert_eq!(may(&with(Role::Operator)), (true, true));
        assert_eq!(may(&with(Role::Viewer)), (true, false));
        assert_eq!(may(&with(Role::Peer)), (false, false));
        assert_eq!(may(&request(None)), (false, false));
    }

    #[test]
    fn commands_are_logged_with_their_owner() {
        assert_eq!(may_change(&with(Role::Operator)).unwrap().to_string(), "alice");
        assert_eq!(
            may_change(&request(Some(Caller::Local(Some(0))))).unwrap().to_string(),
            "user 0 at the admin socket"
        );
        let mut request = with(Role::Operator);
        request.metadata_mut().insert_bin(REASON, tonic::metadata::MetadataValue::from_bytes("new\ndisk".as_bytes()));
        assert_eq!(may_change(&request).unwrap().to_string(), "alice: new disk");
        let refusal = may_change(&with(Role::Viewer)).unwrap_err();
        assert_eq!(refusal.message(), "the certificate `alice` is a viewer's, not an operator's");
    }
}
