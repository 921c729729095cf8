//! Whether the other side of a stream is who it should be. A refusal names both values, so that either side's log
//! tells what does not fit.

use super::PeerSettings;
use standfast_core::id::{NodeName, Session};
use standfast_rpc::convert::{Open, Protocol};
use standfast_rpc::tls::{Identity, Role};
use tonic::Status;

/// Checks the first message of whoever connected with the certificate of `identity`.
pub(super) fn check_caller(settings: &PeerSettings, identity: &Identity, open: &Open) -> Result<(), Status> {
    if identity.role != Role::Peer {
        let role = identity.role;
        return Err(Status::permission_denied(format!(
            "certificate `{name}` has role {role}, not peer: issue one with `standfast tls issue --node NAME`",
            name = identity.name
        )));
    }
    check_open(settings, &NodeName::from(identity.name.as_str()), open)?;
    if settings.dials(&open.node) {
        let (us, them) = (&settings.node, &open.node);
        return Err(Status::failed_precondition(format!("`{us}` connects to `{them}`, not the other way round")));
    }
    Ok(())
}

/// Checks how `peer` answered when this node opened a stream of `session`.
pub(super) fn check_answer(
    settings: &PeerSettings,
    peer: &NodeName,
    session: Session,
    open: &Open,
) -> Result<(), Status> {
    check_open(settings, peer, open)?;
    if session != open.session {
        return Err(Status::failed_precondition(format!("`{peer}` answered for another session")));
    }
    Ok(())
}

/// Checks the first message of the node whose certificate says `certified`.
fn check_open(settings: &PeerSettings, certified: &NodeName, open: &Open) -> Result<(), Status> {
    let (ours, theirs) = (Protocol::CURRENT.major, open.protocol.major);
    if ours != theirs {
        return Err(Status::failed_precondition(format!(
            "you speak major version {theirs} of the protocol, we {ours}: install a version of the same major on both nodes"
        )));
    }
    if settings.cluster != open.cluster {
        let (ours, theirs) = (&settings.cluster, &open.cluster);
        return Err(Status::failed_precondition(format!(
            "you are of cluster `{theirs}`, we of `{ours}`: one of us has the cluster file of another cluster"
        )));
    }
    if *certified != open.node {
        let claimed = &open.node;
        return Err(Status::permission_denied(format!(
            "you say you are `{claimed}`, your certificate says `{certified}`: start that node as `{certified}`, or give it \
             the certificate of `{claimed}`"
        )));
    }
    if settings.node == open.node {
        return Err(Status::already_exists(format!(
            "two nodes are called `{}`: give each its own with --node",
            open.node
        )));
    }
    if !settings.peers.contains_key(&open.node) {
        let (us, them) = (&settings.node, &open.node);
        return Err(Status::permission_denied(format!(
            "`{us}` knows no node `{them}` in its cluster: add it with `standfast config apply`"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_core::id::{Incarnation, Revision};
    use standfast_core::time::Wall;

    fn settings(node: &str) -> PeerSettings {
        PeerSettings {
            cluster: "hq".to_owned(),
            node: node.into(),
            incarnation: Incarnation(1),
            revision: Revision { number: 1, node: node.into() },
            peers: ["dhcp-a", "dhcp-b"].map(|peer| (peer.into(), ([127, 0, 0, 1], 1).into())).into(),
        }
    }

    /// What is said of it, without what to do about it.
    fn refusal(role: Role, change: impl Fn(&mut Open)) -> String {
        let name = "dhcp-a".to_owned();
        let identity = Identity { name, role, cluster: "hq".to_owned(), not_after: Wall(0) };
        let mut open = settings("dhcp-a").open(Session(7));
        change(&mut open);
        match check_caller(&settings("dhcp-b"), &identity, &open) {
            Ok(()) => String::new(),
            Err(status) => without_advice(&status),
        }
    }

    fn without_advice(status: &Status) -> String {
        let (what, advice) = status.message().split_once(": ").unwrap();
        assert!(!advice.is_empty());
        what.to_owned()
    }

    #[test]
    fn a_refusal_has_both_values() {
        assert_eq!(refusal(Role::Peer, |_| {}), "");
        assert_eq!(refusal(Role::Peer, |open| open.protocol.minor = 9), "");
        assert_eq!(refusal(Role::Viewer, |_| {}), "certificate `dhcp-a` has role viewer, not peer");
        assert_eq!(
            refusal(Role::Peer, |open| open.protocol.major = 2),
            "you speak major version 2 of the protocol, we 1"
        );
        assert_eq!(
            refusal(Role::Peer, |open| "branch".clone_into(&mut open.cluster)),
            "you are of cluster `branch`, we of `hq`"
        );
        assert_eq!(
            refusal(Role::Peer, |open| open.node = "dhcp-c".into()),
            "you say you are `dhcp-c`, your certificate says `dhcp-a`"
        );
    }

    #[test]
    fn our_own_name_and_strangers_are_refused() {
        let refusal = |us: &str, them: &str| {
            let open = settings(them).open(Session(7));
            without_advice(&check_open(&settings(us), &them.into(), &open).unwrap_err())
        };
        assert_eq!(refusal("dhcp-b", "dhcp-b"), "two nodes are called `dhcp-b`");
        assert_eq!(refusal("dhcp-b", "dhcp-x"), "`dhcp-b` knows no node `dhcp-x` in its cluster");
    }

    #[test]
    fn only_the_node_whose_name_sorts_first_connects() {
        let name = "dhcp-b".to_owned();
        let identity = Identity { name, role: Role::Peer, cluster: "hq".to_owned(), not_after: Wall(0) };
        let open = settings("dhcp-b").open(Session(7));
        let refusal = check_caller(&settings("dhcp-a"), &identity, &open).unwrap_err();
        assert_eq!(refusal.message(), "`dhcp-a` connects to `dhcp-b`, not the other way round");
    }
}
