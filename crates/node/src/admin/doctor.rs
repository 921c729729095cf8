//! What is right and what is wrong with a node and its surroundings, one thing after the other, each with what to do.

use crate::cluster_file::ClusterFile;
use crate::kernel;
use crate::refused::{Case, Refused};
use crate::store;
use standfast_core::configuration::Configuration;
use standfast_core::input::Link;
use standfast_core::node::{ForeignServer, Node, RelationshipStatus, ScopeStatus, Status};
use standfast_core::time::{Now, Wall};
use standfast_rpc::proto::{Check, Verdict};
use standfast_rpc::tls::ReloadableTls;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;
/// A certificate that ends within this is warned of, and within that it is high time.
const CERTIFICATE_ENDS: (i64, i64) = (30 * DAY_MS, 7 * DAY_MS);
/// Clocks that are further apart than this make leases end at different times.
const SKEW_MS: i64 = 1_000;
/// A foreign server that was not heard for so long may be gone.
const FOREIGN_MS: i64 = DAY_MS;
/// A pool with less than one in so many addresses free is nearly full.
const NEARLY_FULL: u64 = 20;
/// Bits of the capabilities to use ports below 1024 and raw sockets (capabilities(7)).
const CAPABILITIES: [(u32, &str); 2] = [(10, "CAP_NET_BIND_SERVICE"), (13, "CAP_NET_RAW")];

/// What a node lives in.
#[derive(Debug)]
pub struct House {
    /// Its certificates; `None` where it has none.
    pub tls: Option<Arc<ReloadableTls>>,
    /// The cluster file that it was started with.
    pub config: PathBuf,
    /// Where its store is.
    pub data_dir: PathBuf,
    /// Who could not connect.
    pub refused: Refused,
}

/// What the core says, to be judged on another thread.
#[derive(Debug)]
pub(super) struct Facts {
    status: Status,
    links: Vec<Link>,
    foreign: Vec<ForeignServer>,
    configuration: Arc<Configuration>,
    wall: Wall,
}

impl Facts {
    pub(super) fn of(node: &Node, now: Now) -> Self {
        Self {
            status: node.status(),
            links: node.links().cloned().collect(),
            foreign: node.foreign_servers().cloned().collect(),
            configuration: Arc::clone(node.configuration()),
            wall: now.wall,
        }
    }
}

impl House {
    /// One without certificates and cluster file.
    #[cfg(test)]
    pub(super) fn empty(dir: &Path) -> Self {
        let refused = Refused::new(crate::clock::Clock::start());
        Self { tls: None, config: dir.join("cluster.toml"), data_dir: dir.to_owned(), refused }
    }

    /// Looks at everything.
    pub(super) fn examine(&self, facts: &Facts) -> Vec<Check> {
        let mut checks = vec![todo(&facts.status)];
        checks.extend(facts.links.iter().map(link));
        checks.extend(capabilities(&facts.links));
        checks.extend(refusals(&self.refused, &facts.status));
        checks.extend(facts.status.relationships.iter().map(|relationship| partner(relationship, &self.refused)));
        checks.extend(foreign_servers(facts));
        checks.extend(clocks(facts));
        checks.extend(self.tls.as_ref().map(|tls| certificate(tls.current().identity().not_after, facts.wall)));
        checks.push(disk(&self.data_dir));
        checks.push(configuration(&self.config, &facts.configuration));
        checks.extend(facts.status.scopes.iter().filter_map(pool));
        checks
    }
}

fn ok(name: &str, what: impl Into<String>) -> Check {
    found(name, Verdict::Ok, what, "")
}

fn warn(name: &str, what: impl Into<String>, todo: impl Into<String>) -> Check {
    found(name, Verdict::Warn, what, todo)
}

fn fail(name: &str, what: impl Into<String>, todo: impl Into<String>) -> Check {
    found(name, Verdict::Fail, what, todo)
}

fn found(name: &str, verdict: Verdict, what: impl Into<String>, todo: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict: verdict.into(), what: what.into(), todo: todo.into() }
}

fn todo(status: &Status) -> Check {
    match &status.todo {
        Some(todo) => fail("node", format!("{} needs you", status.node), todo.clone()),
        None => ok("node", format!("{} runs with revision {}", status.node, status.revision.number)),
    }
}

fn link(link: &Link) -> Check {
    let name = &link.name;
    if !link.carrier {
        fail("sockets", format!("{name} has no carrier"), "plug the cable in, or set the interface up")
    } else if link.addresses.is_empty() {
        fail(
            "sockets",
            format!("{name} has no IPv4 address"),
            format!("give {name} an address: clients are answered from it"),
        )
    } else {
        let addresses: Vec<String> = link.addresses.iter().map(|(address, _)| address.to_string()).collect();
        ok("sockets", format!("{name} is open, {}", addresses.join(" ")))
    }
}

/// Of this process, where it has interfaces; a plain listener needs none.
fn capabilities(links: &[Link]) -> Option<Check> {
    links.iter().any(|link| link.addresses.iter().any(|(_, prefix)| *prefix < 32)).then_some(())?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(effective.trim(), 16).ok()?;
    let missing: Vec<&str> =
        CAPABILITIES.iter().filter(|(bit, _)| effective & (1 << bit) == 0).map(|(_, name)| *name).collect();
    Some(if missing.is_empty() {
        ok("capabilities", "low ports and raw sockets may be used")
    } else {
        let todo = "give them to the service: AmbientCapabilities= in its unit";
        fail("capabilities", format!("{} is missing", missing.join(" and ")), todo)
    })
}

/// Who could not connect to this node. If it may be why a partner is not heard, that goes first.
fn refusals(refused: &Refused, status: &Status) -> Vec<Check> {
    let all_heard = status.relationships.iter().all(|relationship| relationship.partner.connected);
    let checks: Vec<Check> = refused
        .of_late()
        .into_iter()
        .map(|(Case { who, what, todo, .. }, age)| {
            let found = if all_heard || who.is_stranger() { warn } else { fail };
            let what = format!("{who} was refused {} s ago: {what}", age.as_secs());
            found("refused", what, todo.unwrap_or_else(|| "find out what connects from there".to_owned()))
        })
        .collect();
    if checks.is_empty() { vec![ok("refused", "nobody was refused in an hour")] } else { checks }
}

fn partner(relationship: &RelationshipStatus, refused: &Refused) -> Check {
    let (name, partner) = (&relationship.name, &relationship.partner);
    let node = &partner.node;
    if !partner.connected {
        let age = partner.heartbeat_age.as_secs();
        let what = format!("{name}: {node} was not heard for {age} s");
        let look = || format!("start {node}, or see why its `rpc` address cannot be reached from here");
        return match refused.call(node) {
            Some((call, age)) => {
                let what = format!("{what}; called in vain {} s ago: {}", age.as_secs(), call.what);
                fail("partner", what, call.todo.unwrap_or_else(look))
            }
            None => fail("partner", what, look()),
        };
    }
    if partner.lagging {
        let todo = format!("look at the disk and the load of {node}");
        return warn("partner", format!("{name}: {node} takes leases too slowly; nobody waits for it"), todo);
    }
    ok("partner", format!("{name}: {node} is heard; {}", relationship.if_active_dies))
}

fn foreign_servers(facts: &Facts) -> Vec<Check> {
    let recent = |server: &&ForeignServer| facts.wall.0 - server.last.0 < FOREIGN_MS;
    let servers: Vec<Check> = facts
        .foreign
        .iter()
        .filter(recent)
        .map(|server| {
            let ForeignServer { identifier, hardware, link, messages, .. } = server;
            let what = format!("{identifier} ({hardware}) answers clients on {link}; {messages} replies heard");
            warn("foreign_servers", what, "find the port of that hardware address on the switch, and stop the server")
        })
        .collect();
    if servers.is_empty() { vec![ok("foreign_servers", "none was heard in a day")] } else { servers }
}

fn clocks(facts: &Facts) -> Vec<Check> {
    let own = if kernel::clock_is_synchronised() {
        ok("clock", "something keeps it right")
    } else {
        warn(
            "clock",
            "nothing keeps it right",
            "run chrony or systemd-timesyncd: after a standstill nobody knows how long it was",
        )
    };
    let mut peers = BTreeSet::new();
    let partners = facts.status.relationships.iter().map(|relationship| &relationship.partner);
    let skewed = partners.filter(|partner| peers.insert(partner.node.clone())).filter_map(|partner| {
        let skew = partner.skew_ms.filter(|skew| skew.abs() > SKEW_MS)?;
        let what = format!("the clock of {} is {skew} ms ahead of this one", partner.node);
        Some(warn("clock", what, "have both nodes follow the same time servers"))
    });
    std::iter::once(own).chain(skewed).collect()
}

fn certificate(ends: Wall, now: Wall) -> Check {
    let left = ends.0 - now.0;
    let what = format!("this node's certificate ends in {} days", left / DAY_MS);
    let todo = "issue another one with `standfast tls issue --node NAME`; it is taken into use without a restart";
    match left {
        _ if left < CERTIFICATE_ENDS.1 => fail("certificates", what, todo),
        _ if left < CERTIFICATE_ENDS.0 => warn("certificates", what, todo),
        _ => ok("certificates", what),
    }
}

fn disk(data_dir: &Path) -> Check {
    match store::space_around(data_dir) {
        Ok(space) if space.is_low() => {
            let what = format!("{} MiB of {} MiB are free", space.free >> 20, space.total >> 20);
            warn(
                "disk",
                what,
                format!("free space around {}: a node that cannot write does not serve", data_dir.display()),
            )
        }
        Ok(space) => ok("disk", format!("{} MiB of {} MiB are free", space.free >> 20, space.total >> 20)),
        Err(error) => fail("disk", error.to_string(), "see that the folder exists and may be read"),
    }
}

/// The file need not be what is in use: the configuration is applied, and lives in the store.
fn configuration(path: &Path, used: &Configuration) -> Check {
    let Ok(text) = fs::read_to_string(path) else {
        let what = format!("{} cannot be read", path.display());
        return warn("configuration", what, "the next start needs the file: put it back");
    };
    match ClusterFile::parse(&path.display().to_string(), &text) {
        Err(mistakes) => {
            let what = format!("{} has {} mistakes", path.display(), mistakes.len());
            warn(
                "configuration",
                what,
                "`standfast config check` shows them; the next start fails until they are mended",
            )
        }
        Ok(file) => {
            let same = Configuration { revision: used.revision.clone(), ..file.configuration } == *used;
            if same {
                ok("configuration", format!("{} is what is in use", path.display()))
            } else {
                let what = format!("{} is not what is in use", path.display());
                warn(
                    "configuration",
                    what,
                    "`standfast config diff` shows the difference; apply the file, or bring it up to date",
                )
            }
        }
    }
}

fn pool(scope: &ScopeStatus) -> Option<Check> {
    let free = scope.free_home + scope.free_partner;
    if scope.addresses == 0 || free * NEARLY_FULL >= scope.addresses {
        return None;
    }
    let what = format!("{}: {free} of {} addresses are free", scope.name, scope.addresses);
    let todo = "widen the pool, or shorten the lease time";
    Some(if free == 0 { fail("pools", what, todo) } else { warn("pools", what, todo) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_in_time() {
        let verdict = |days: i64| certificate(Wall(days * DAY_MS), Wall(0)).verdict();
        assert_eq!([90, 29, 6, -1].map(verdict), [Verdict::Ok, Verdict::Warn, Verdict::Fail, Verdict::Fail]);
        assert!(!certificate(Wall(0), Wall(1)).todo.is_empty());
    }

    #[test]
    fn a_link_without_cable_or_address_does_not_work() {
        let mut eth1 = Link { index: 0, name: "eth1".into(), addresses: vec![], mtu: 1_500, carrier: true };
        assert_eq!(link(&eth1).verdict(), Verdict::Fail);
        eth1.addresses.push(([10, 20, 0, 1].into(), 24));
        assert_eq!((link(&eth1).verdict(), link(&eth1).what), (Verdict::Ok, "eth1 is open, 10.20.0.1".into()));
        eth1.carrier = false;
        assert!(link(&eth1).what.contains("no carrier"));
    }

    #[test]
    fn a_file_that_differs_from_what_is_in_use_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.toml");
        let text = "cluster = 'hq'\n[[node]]\nname = 'a'\nrpc = '127.0.0.1:6767'\ninterfaces = ['lo']\n";
        let used = ClusterFile::parse("cluster.toml", text).unwrap().configuration;
        let verdict = |text: &str| {
            fs::write(&path, text).unwrap();
            configuration(&path, &used).verdict()
        };
        assert_eq!(verdict(text), Verdict::Ok);
        assert_eq!(verdict(&text.replace("'hq'", "'branch'")), Verdict::Warn);
        assert_eq!(verdict("cluster ="), Verdict::Warn);
        fs::remove_file(&path).unwrap();
        assert_eq!(configuration(&path, &used).verdict(), Verdict::Warn);
    }
}
