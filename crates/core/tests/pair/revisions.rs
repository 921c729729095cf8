//! The cluster's configuration: one revision after the other, on every node, also on those that were away.

use crate::harness::{Pair, configuration};
use standfast_core::configuration::{
    AddressRange, Boot, Configuration, Pool, RelationshipSettings, Reservation, ReservationHolder, Scope, ScopeOwner,
    Subnet,
};
use standfast_core::event::Code;
use standfast_core::input::{Apply, Command};
use standfast_core::lease::record::HardwareAddress;
use standfast_core::node::ScopeState;
use standfast_core::output::CommandResult;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn range(first: u8, last: u8) -> AddressRange {
    AddressRange { first: address(first), last: address(last) }
}

fn reservation(client: u8, last: u8) -> Reservation {
    Reservation {
        holder: ReservationHolder::Hardware(HardwareAddress::new(1, &[2, 0, 0, 0, 0, client]).unwrap()),
        address: address(last),
        hostname: None,
        options: BTreeMap::new(),
        boot: Boot::default(),
    }
}

impl Pair {
    fn configuration(&self, host: usize) -> &Configuration {
        self.hosts[host].node.as_ref().unwrap().configuration()
    }

    fn notes(&self, host: usize) -> Vec<String> {
        self.hosts[host].node.as_ref().unwrap().status().configuration_notes
    }

    fn told(&self, host: usize, code: Code) -> usize {
        self.hosts[host].events.iter().filter(|event| event.code == code).count()
    }

    /// An operator of `host` changes what that node uses.
    fn apply(&mut self, host: usize, without: &[&str], change: impl FnOnce(&mut Configuration)) -> CommandResult {
        let mut configuration = self.configuration(host).clone();
        let base = Some(configuration.revision.clone());
        change(&mut configuration);
        configuration.text = format!("{:?}{:?}", configuration.relationships, configuration.scopes).into();
        let without = without.iter().map(|&node| node.into()).collect();
        let apply = Apply { configuration: Arc::new(configuration), base, without, dry_run: false };
        self.command(host, Command::Apply(apply));
        self.hosts[host].answers.pop().unwrap()
    }

    fn applied(&mut self, host: usize, without: &[&str], change: impl FnOnce(&mut Configuration)) {
        let result = self.apply(host, without, change);
        assert!(matches!(result, CommandResult::Done(_)), "{result:?}");
    }

    fn refused(&mut self, host: usize, without: &[&str], change: impl FnOnce(&mut Configuration)) -> String {
        match self.apply(host, without, change) {
            CommandResult::Refused(why) => why,
            result @ (CommandResult::Done(_) | CommandResult::Failed(_)) => panic!("{result:?}"),
        }
    }
}

fn grow(configuration: &mut Configuration) {
    configuration.scopes[0].pools = vec![Pool { range: range(50, 65), class: None, options: BTreeMap::new() }];
}

fn reserve(client: u8, last: u8) -> impl FnOnce(&mut Configuration) {
    move |configuration| configuration.scopes[0].reservations = vec![reservation(client, last)]
}

#[test]
fn a_revision_is_used_by_every_node_and_found_again_after_a_start() {
    let mut pair = Pair::new();
    let (_, held, _) = pair.acquire(1).unwrap();
    pair.applied(1, &[], grow);
    for host in [0, 1] {
        assert_eq!(pair.configuration(host).revision.number, 2);
        assert_eq!(pair.configuration(host).revision.node.as_str(), "b");
        assert_eq!(pair.told(host, Code::ConfigurationChanged), 1);
        assert_eq!(pair.notes(host), [""; 0]);
    }
    assert_eq!([pair.phase(0), pair.phase(1)], ["normal", "normal"], "nothing is interrupted by it");
    assert_eq!(pair.rebind(1, held, &[0, 1]).len(), 1);
    assert_eq!((2..=17).filter_map(|client| pair.acquire(client)).count(), 15, "sixteen addresses, one is held");

    for host in [0, 1] {
        pair.kill(host);
        pair.start(host, false);
        pair.connect();
        assert_eq!(pair.configuration(host).scopes[0].pools[0].range, range(50, 65), "not what the file says");
        assert_eq!(pair.told(host, Code::ConfigurationDrift), 1);
        assert!(pair.notes(host)[0].contains("config diff"), "{:?}", pair.notes(host));
    }
}

#[test]
fn a_node_that_was_away_takes_the_revision_before_it_is_in_step() {
    let mut pair = Pair::new();
    pair.kill(1);
    pair.run(2 * SECOND);
    let why = pair.refused(0, &[], grow);
    assert!(why.contains("b: it cannot be reached") && why.contains("--without b"), "{why}");
    assert_eq!(pair.configuration(0).revision.number, 1);
    pair.applied(0, &["b"], grow);
    assert!(pair.notes(0)[0].contains("b may still use an older revision"), "{:?}", pair.notes(0));
    pair.start(1, false);
    assert_eq!(pair.configuration(1).revision.number, 1);
    pair.hosts[1].events.clear();
    pair.connect();
    assert_eq!([pair.phase(0), pair.phase(1)], ["normal", "normal"]);
    assert_eq!(pair.configuration(1).revision, pair.configuration(0).revision);
    let order: Vec<Code> = pair.hosts[1].events.iter().map(|event| event.code).collect();
    let taken = order.iter().position(|&code| code == Code::ConfigurationChanged).unwrap();
    let in_step = pair.hosts[1].events.iter().position(|event| event.what == "recover -> normal").unwrap();
    assert!(taken < in_step, "{order:?}");
    assert_eq!(pair.notes(0), [""; 0]);
}

#[test]
fn a_node_that_cannot_use_the_revision_does_not_come_into_step() {
    let mut pair = Pair::new();
    pair.kill(1);
    pair.run(2 * SECOND);
    pair.applied(0, &["b"], grow);
    pair.hosts[1].is_older = true;
    pair.start(1, false);
    pair.connect();
    pair.run(20 * SECOND);
    assert_eq!([pair.phase(0), pair.phase(1)], ["communications-interrupted", "recover"]);
    assert_eq!(pair.active(), [0], "it is silent");
    assert_eq!(pair.told(1, Code::ConfigurationUnreadable), 1);
    assert!(pair.notes(1)[0].contains("line 7: what is that?"), "{:?}", pair.notes(1));
    assert!(pair.notes(0)[0].contains("b uses revision 1 of a"), "{:?}", pair.notes(0));
}

#[test]
fn a_change_is_refused_as_a_whole_with_each_nodes_reason() {
    let mut pair = Pair::new();
    pair.acquire(1).unwrap();
    let rename = |configuration: &mut Configuration| configuration.cluster = "other".into();
    let why = pair.refused(0, &[], rename);
    assert!(
        why.contains("\n  a: a cluster keeps its name") && why.contains("\n  b: a cluster keeps its name"),
        "{why}"
    );
    assert_eq!([0, 1].map(|host| pair.configuration(host).revision.number), [1, 1]);

    let why = pair.refused(0, &["b"], grow);
    assert!(why.contains("leave out --without b"), "{why}");
    let why = pair.refused(0, &["z"], grow);
    assert!(why.contains("no other node of that name"), "{why}");
    let same = |configuration: &mut Configuration| configuration.scopes[0].disabled = false;
    pair.applied(0, &[], same);
    assert!(matches!(pair.apply(0, &[], same), CommandResult::Done(text) if text.contains("nothing to do")));
    let mut late = Apply {
        configuration: Arc::new(Configuration { text: "late".into(), ..configuration() }),
        base: Some(pair.file.revision.clone()),
        without: Default::default(),
        dry_run: true,
    };
    pair.command(0, Command::Apply(late.clone()));
    let answer = pair.hosts[0].answers.pop().unwrap();
    assert!(matches!(&answer, CommandResult::Refused(why) if why.contains("meanwhile")), "{answer:?}");
    late.base = None;
    pair.command(0, Command::Apply(late));
    let answer = pair.hosts[0].answers.pop().unwrap();
    assert!(matches!(&answer, CommandResult::Done(text) if text.contains("would take")), "{answer:?}");
    assert_eq!(pair.configuration(0).revision.number, 2, "a rehearsal changes nothing");
}

#[test]
fn a_node_that_is_proven_down_need_not_be_asked() {
    let mut pair = Pair::new();
    pair.kill(1);
    let force = Command::PartnerDown { node: "b".into(), relationship: None, off_since: None, despite_evidence: false };
    pair.command(0, force);
    pair.hosts[0].answers.clear();
    pair.applied(0, &[], grow);
    let given = (1..=16).filter_map(|client| pair.acquire_from(client, &[0])).map(|(_, address, _)| address);
    assert!(given.into_iter().any(|address| address.octets()[3] > 57), "what it does not have yet can be given");
    pair.start(1, false);
    pair.connect();
    assert_eq!(pair.configuration(1).revision.number, 2);
    assert_eq!([pair.phase(0), pair.phase(1)], ["normal", "normal"]);
}

#[test]
fn what_a_revision_adds_is_given_only_once_the_partner_has_it() {
    let mut pair = Pair::new();
    pair.disconnect();
    pair.run(2 * SECOND);
    pair.applied(0, &["b"], grow);
    let given: Vec<_> = (1..=12).filter_map(|client| pair.acquire_from(client, &[0])).map(|(_, at, _)| at).collect();
    assert_eq!(given, [50, 52, 54, 56].map(address), "its own home, by both revisions");
    pair.connect();
    assert_eq!([pair.phase(0), pair.phase(1)], ["normal", "normal"]);
    assert_eq!((20..=40).filter_map(|client| pair.acquire(client)).count(), 12, "and then everything");
}

#[test]
fn an_address_whose_reservation_is_gone_stays_its_clients_until_the_partner_knows() {
    let mut pair = Pair::new();
    pair.applied(0, &[], reserve(1, 50));
    pair.disconnect();
    pair.run(2 * SECOND);
    pair.applied(0, &["b"], |configuration| configuration.scopes[0].reservations.clear());
    let (_, given, _) = pair.acquire_from(1, &[1]).unwrap();
    assert_eq!(given, address(50), "b keeps it for its client, and may give it");
    let given: Vec<_> = (2..=8).filter_map(|client| pair.acquire_from(client, &[0])).map(|(_, at, _)| at).collect();
    assert_eq!(given, [52, 54, 56].map(address), "so a, its home, gives it to nobody else");
    pair.connect();
    let [a, b] = pair.tables();
    assert_eq!(a, b);
    assert_eq!(pair.told(0, Code::Conflict) + pair.told(1, Code::Conflict), 0);
}

#[test]
fn a_reserved_address_is_given_away_from_home_once_both_keep_it() {
    let mut pair = Pair::new();
    pair.applied(0, &[], reserve(1, 51));
    pair.kill(1);
    assert_eq!(pair.acquire_from(1, &[0]).map(|(_, at, _)| at), Some(address(51)), "its home is b");

    let mut pair = Pair::new();
    pair.disconnect();
    pair.run(2 * SECOND);
    pair.applied(0, &["b"], reserve(1, 51));
    let (_, given, _) = pair.acquire_from(9, &[1]).unwrap();
    assert_eq!(given, address(51), "b knows of no reservation");
    assert_eq!(pair.acquire_from(1, &[0]).map(|(_, at, _)| at), Some(address(50)), "so a gives another one");
}

#[test]
fn a_reserved_address_keeps_its_home() {
    let mut pair = Pair::new();
    pair.disconnect();
    pair.run(2 * SECOND);
    pair.applied(0, &["b"], reserve(1, 50));
    assert_eq!(pair.acquire_from(1, &[0]).map(|(_, at, _)| at), Some(address(50)), "both allow it, and it is at home");
}

#[test]
fn a_scope_changes_its_relationship_only_while_disabled_and_with_no_lease_left() {
    let mut file = configuration();
    let pair = |name: &str, primary: &str, standby: &str| RelationshipSettings {
        name: name.into(),
        primary: primary.into(),
        standby: standby.into(),
        ..configuration().relationships.remove(0)
    };
    file.relationships.push(pair("lab", "b", "a"));
    let mut pair = Pair::of(file);
    pair.start(0, true);
    pair.start(1, true);
    pair.connect();
    let (_, held, _) = pair.acquire(1).unwrap();
    let to_lab = |configuration: &mut Configuration| {
        configuration.scopes[0].owner = ScopeOwner::Relationship("lab".into());
    };
    let disable = |configuration: &mut Configuration| configuration.scopes[0].disabled = true;
    let why = pair.refused(0, &[], to_lab);
    assert!(why.contains("`standfast scope disable lan` first"), "{why}");
    pair.applied(0, &[], disable);
    assert_eq!(pair.rebind(1, held, &[0, 1]), [], "disabled is silent");
    let why = pair.refused(0, &[], to_lab);
    assert!(why.contains("1 leases at addresses of lan have not ended"), "{why}");
    pair.run(7_300 * SECOND);
    pair.applied(0, &[], to_lab);
    pair.applied(0, &[], |configuration| configuration.scopes[0].disabled = false);
    let (server, _, _) = pair.acquire(1).unwrap();
    assert_eq!(server, 1, "b is the primary of lab");
    let [a, b] = pair.tables();
    assert_eq!(a, b);
}

#[test]
fn a_disabled_scope_is_silent_on_every_node_until_it_is_enabled() {
    let mut pair = Pair::new();
    let (_, held, _) = pair.acquire(1).unwrap();
    pair.applied(0, &[], |configuration| configuration.scopes[0].disabled = true);
    assert_eq!(pair.acquire(2), None);
    assert_eq!(pair.rebind(1, held, &[0, 1]), []);
    let state = |pair: &Pair, host: usize| pair.hosts[host].node.as_ref().unwrap().status().scopes[0].state;
    assert_eq!([state(&pair, 0), state(&pair, 1)], [ScopeState::Disabled; 2]);
    pair.kill(0);
    assert_eq!(pair.rebind(1, held, &[1]), []);
    pair.start(0, false);
    pair.connect();
    pair.applied(1, &[], |configuration| configuration.scopes[0].disabled = false);
    assert_eq!(pair.rebind(1, held, &[0, 1]).len(), 1, "its client kept its lease");
}

#[test]
fn a_relationship_of_two_connected_nodes_is_new_and_one_that_comes_back_goes_on() {
    let mut pair = Pair::new();
    let lab = |configuration: &mut Configuration| {
        let settings = RelationshipSettings {
            name: "lab".into(),
            primary: "b".into(),
            standby: "a".into(),
            ..configuration.relationships[0].clone()
        };
        configuration.relationships.push(settings);
        configuration.scopes.push(Scope {
            name: "lab".into(),
            owner: ScopeOwner::Relationship("lab".into()),
            subnet: Subnet { network: Ipv4Addr::new(10, 1, 0, 0), prefix: 24 },
            pools: Vec::new(),
            ..configuration.scopes[0].clone()
        });
    };
    let phases = |pair: &Pair, host: usize| -> Vec<&'static str> {
        pair.hosts[host].node.as_ref().unwrap().status().relationships.iter().map(|r| r.phase.as_str()).collect()
    };
    pair.applied(0, &[], lab);
    assert_eq!([phases(&pair, 0), phases(&pair, 1)], [["normal", "normal"], ["normal", "normal"]]);
    pair.applied(0, &[], |configuration| {
        configuration.relationships.pop();
        configuration.scopes.pop();
    });
    assert_eq!(phases(&pair, 0), ["normal"]);
    pair.applied(1, &[], lab);
    pair.run(11 * SECOND);
    assert_eq!([phases(&pair, 0), phases(&pair, 1)], [["normal", "normal"], ["normal", "normal"]]);
}

#[test]
fn a_fresh_node_takes_what_the_cluster_has_and_says_that_its_file_differed() {
    let mut pair = Pair::new();
    pair.applied(0, &[], grow);
    pair.kill(1);
    pair.hosts[1].disk.clear();
    pair.file.text = "an old copy".into();
    pair.start(1, false);
    assert_eq!(pair.configuration(1).revision.number, 0, "its file is no revision");
    pair.connect();
    assert_eq!(pair.configuration(1).revision, pair.configuration(0).revision);
    assert_eq!(pair.phase(1), "normal");
    assert_eq!(pair.told(1, Code::ConfigurationDrift), 1);
    assert!(pair.notes(1)[0].contains("config diff"), "{:?}", pair.notes(1));
}

#[test]
fn two_new_nodes_with_different_files_notice_it_and_use_one_of_them() {
    let mut pair = Pair::unstarted();
    pair.start(0, true);
    pair.file.text = "another file".into();
    pair.start(1, true);
    pair.connect();
    assert_eq!([pair.told(0, Code::ConfigurationDrift), pair.told(1, Code::ConfigurationDrift)], [1, 1]);
    assert_eq!(pair.configuration(0).text, pair.configuration(1).text);
    assert_eq!([pair.phase(0), pair.phase(1)], ["normal", "normal"]);
}
