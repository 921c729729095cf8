//! Several relationships on one node: one standby of two primaries, and a revision that reaches nodes with which there
//! is no relationship.

use crate::harness::{Pair, configuration, message};
use dhcproto::v4::MessageType;
use standfast_core::configuration::{
    AddressRange, Configuration, Pool, RelationshipSettings, Scope, ScopeOwner, Subnet,
};
use standfast_core::input::{Apply, Command};
use standfast_core::output::CommandResult;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// "b" is the standby of "a" for 10.0.0.0/24 and of "c" for 10.1.0.0/24, on one link.
fn two_primaries() -> Configuration {
    let mut configuration = configuration();
    configuration.nodes.push("c".into());
    configuration.relationships.push(RelationshipSettings {
        name: "lab".into(),
        primary: "c".into(),
        standby: "b".into(),
        ..configuration.relationships[0].clone()
    });
    let address = |last| Ipv4Addr::new(10, 1, 0, last);
    configuration.scopes.push(Scope {
        name: "lab".into(),
        owner: ScopeOwner::Relationship("lab".into()),
        subnet: Subnet { network: address(0), prefix: 24 },
        pools: vec![Pool {
            range: AddressRange { first: address(50), last: address(57) },
            class: None,
            options: Default::default(),
        }],
        relays: vec![address(254)],
        ..configuration.scopes[0].clone()
    });
    configuration
}

fn started() -> Pair {
    let mut nodes = Pair::of(two_primaries());
    for host in 0..3 {
        nodes.start(host, true);
    }
    for (one, other) in [(0, 1), (1, 2), (0, 2)] {
        nodes.join(one, other);
    }
    nodes
}

impl Pair {
    fn actives(&self, relationship: &str) -> Vec<usize> {
        let active = |host: usize| {
            let status = self.hosts[host].node.as_ref().map(|node| node.status());
            status.is_some_and(|s| s.relationships.iter().any(|r| r.name.as_str() == relationship && r.active))
        };
        (0..3).filter(|&host| active(host)).collect()
    }

    /// Who answers a client behind the relay of 10.1.0.0/24.
    fn offers_in_lab(&mut self, client: u8) -> Vec<usize> {
        let mut discover = message(client, MessageType::Discover);
        discover.set_giaddr(Ipv4Addr::new(10, 1, 0, 254));
        self.send(&[0, 1, 2], &discover, Ipv4Addr::new(10, 0, 0, 1));
        self.heard().into_iter().filter(|(_, kind, ..)| *kind == MessageType::Offer).map(|(host, ..)| host).collect()
    }
}

#[test]
fn one_node_is_the_standby_of_two_primaries_and_takes_over_for_the_one_that_dies() {
    let mut nodes = started();
    assert_eq!((nodes.actives("office"), nodes.actives("lab")), (vec![0], vec![2]));
    let (server, held, _) = nodes.acquire_from(1, &[0, 1, 2]).unwrap();
    assert_eq!((server, nodes.offers_in_lab(7)), (0, vec![2]));

    nodes.kill(0);
    nodes.run(2 * SECOND);
    assert_eq!((nodes.actives("office"), nodes.actives("lab")), (vec![1], vec![2]), "only what the dead node served");
    assert_eq!(nodes.rebind(1, held, &[1, 2]).len(), 1);
    assert_eq!(nodes.offers_in_lab(8), [2]);

    nodes.kill(2);
    nodes.run(2 * SECOND);
    assert_eq!((nodes.actives("office"), nodes.actives("lab")), (vec![1], vec![1]));
    for (host, peers) in [(0, [1, 2]), (2, [1, 0])] {
        nodes.start(host, false);
        for peer in peers {
            if nodes.hosts[peer].node.is_some() {
                nodes.join(host, peer);
            }
        }
    }
    for _ in 0..8 {
        // Service goes back only to nodes that hear clients.
        nodes.run(5 * SECOND);
        nodes.rebind(1, held, &[0, 1, 2]);
        nodes.offers_in_lab(8);
    }
    nodes.run(SECOND);
    assert_eq!((nodes.actives("office"), nodes.actives("lab")), (vec![0], vec![2]), "failback in both");
}

#[test]
fn a_revision_reaches_nodes_with_which_there_is_no_relationship() {
    let mut nodes = started();
    let mut changed = two_primaries();
    changed.scopes[0].disabled = true;
    changed.text = "office is disabled".into();
    let apply = |without: &[&str]| {
        Command::Apply(Apply {
            configuration: Arc::new(changed.clone()),
            base: None,
            without: without.iter().map(|&node| node.into()).collect(),
            dry_run: false,
        })
    };
    nodes.separate(0, 2);
    nodes.command(2, apply(&[]));
    let answer = nodes.hosts[2].answers.pop().unwrap();
    assert!(matches!(&answer, CommandResult::Refused(why) if why.contains("a: it cannot be reached")), "{answer:?}");
    nodes.join(0, 2);
    nodes.command(2, apply(&[]));
    let texts = |nodes: &Pair| -> Vec<String> {
        nodes.hosts.iter().map(|host| host.node.as_ref().unwrap().configuration().text.to_string()).collect()
    };
    assert_eq!(texts(&nodes), ["office is disabled"; 3]);
    assert_eq!(nodes.acquire_from(1, &[0, 1, 2]), None);
    assert_eq!(nodes.offers_in_lab(7), [2]);
}

#[test]
fn a_partner_that_is_known_to_be_down_need_not_be_asked_by_others_either() {
    let mut nodes = started();
    nodes.kill(0);
    let off = Command::PartnerDown { node: "a".into(), relationship: None, off_since: None, despite_evidence: false };
    nodes.command(1, off);
    let mut changed = two_primaries();
    changed.text = "the same".into();
    let apply = Apply { configuration: Arc::new(changed), base: None, without: Default::default(), dry_run: false };
    nodes.command(2, Command::Apply(apply));
    let answer = nodes.hosts[2].answers.pop().unwrap();
    assert!(matches!(&answer, CommandResult::Done(text) if text.contains("a takes it on coming back")), "{answer:?}");
}

#[test]
fn a_store_that_went_back_is_old_for_every_partner() {
    let mut nodes = started();
    let yesterday = nodes.hosts[1].disk.clone();
    nodes.acquire_from(1, &[0, 1, 2]).unwrap();
    nodes.kill(1);
    nodes.start(1, false);
    nodes.join(0, 1);
    nodes.join(1, 2);
    nodes.run(2 * SECOND);
    nodes.kill(1);
    nodes.hosts[1].disk = yesterday;
    nodes.start(1, false);
    nodes.join(1, 2);
    let lost = |nodes: &Pair| -> Vec<bool> {
        nodes.hosts[1]
            .node
            .as_ref()
            .unwrap()
            .status()
            .relationships
            .iter()
            .map(|r| r.embargo.is_some() || r.lost)
            .collect()
    };
    assert_eq!(lost(&nodes), [true, true], "c has found it out, for the relationship with a too");
}
