use super::*;
use miette::{GraphicalReportHandler, GraphicalTheme};
use standfast_core::configuration::{Failback, LeaseTime, Pattern, ReservationHolder, Scope, ScopeOwner};
use std::time::Duration;

const PAIR: &str = r#"
cluster = "hq-dhcp"

[failover]
heartbeat_interval   = "100ms"
failback             = "manual"
auto_partner_down    = "off"
fence_command        = ["/usr/local/sbin/fence", "--off"]

[[node]]
name       = "dhcp-a"
rpc        = "10.0.0.11:6767"
interfaces = ["eth1"]
http       = "127.0.0.1:9667"

[[node]]
name        = "dhcp-b"
rpc         = "10.0.0.12:6767"
dhcp_listen = ["127.0.0.1:1067"]
server_identifier = "10.20.0.3"

[[relationship]]
name    = "office"
primary = "dhcp-a"
standby = "dhcp-b"

[relationship.failover]
failback       = "auto"
failback_delay = "1m"
mclt           = "30m"

[[scope]]
name         = "office-lan"
relationship = "office"
subnet       = "10.20.0.0/24"
pools        = ["10.20.0.50-10.20.0.199", { range = "10.20.0.200-10.20.0.249", class = "voip", options = { tftp-server-name = "10.20.0.9" } }]
exclude      = ["10.20.0.100-10.20.0.103"]
lease_time   = { default = "8h", min = "10m", max = "24h" }
options      = { routers = ["10.20.0.1"], domain-name-servers = ["10.0.0.53"], domain-name = "hq.example.net", "150" = "hex:0a140009" }
v6only_wait  = "30m"
boot_file    = "pxelinux.0"
forced_options = [43, "tftp-server-name"]

[[scope.reservation]]
hardware = "02:00:5e:10:00:01"
address  = "10.20.0.20"
hostname = "printer-1"

[[scope.reservation]]
circuit_id = "hex:0004000a0105"
address    = "10.20.0.21"

[[scope]]
name     = "lab"
node     = "dhcp-b"
subnet   = "10.21.0.0/24"
pools    = ["10.21.0.10-10.21.0.20"]
disabled = true

[[class]]
name    = "voip"
match   = { vendor_class = "Cisco*", hardware = "00:1b:d4:*" }
unless  = { architecture = 7 }
options = { tftp-server-name = "10.20.0.9" }
"#;

fn good(text: &str) -> Cluster {
    ClusterFile::parse("cluster.toml", text).unwrap_or_else(|mistakes| panic!("{}", shown(&mistakes)))
}

fn shown(mistakes: &[Mistake]) -> String {
    let handler =
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100).with_links(false);
    let mut text = String::new();
    for mistake in mistakes {
        handler.render_report(&mut text, mistake).unwrap();
    }
    text
}

fn assert_shown(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The mistakes of a pair with one scope, in which `from` is replaced by `to`.
fn mistakes_after(replacements: &[(&str, &str)]) -> String {
    let mut text = PAIR.to_owned();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    match ClusterFile::parse("cluster.toml", &text) {
        Ok(cluster) => shown(&cluster.warnings),
        Err(mistakes) => shown(&mistakes),
    }
}

/// The least file around one scope.
fn with_scope(scope: &str) -> String {
    format!(
        "cluster = \"c\"\n[[node]]\nname = \"a\"\nrpc = \"10.0.0.1:67\"\ninterfaces = [\"eth0\"]\n[[scope]]\nname = \"s\"\n{scope}"
    )
}

#[test]
fn a_file_is_converted_whole() {
    let cluster = good(PAIR);
    assert!(cluster.warnings.is_empty(), "{}", shown(&cluster.warnings));
    assert_eq!(cluster.node("dhcp-b").unwrap().server_identifier, Some(Ipv4Addr::new(10, 20, 0, 3)));
    let Configuration { cluster: name, nodes, relationships, scopes, classes, .. } = cluster.configuration;
    assert_eq!((name.as_str(), nodes), ("hq-dhcp", vec!["dhcp-a".into(), "dhcp-b".into()]));

    let failover = &relationships[0].failover;
    assert_eq!(failover.failback, Failback::Automatic { delay: Duration::from_secs(60) });
    assert_eq!((failover.mclt, failover.heartbeat_timeout), (Duration::from_secs(1_800), Duration::from_secs(1)));
    assert_eq!(failover.fence_command, ["/usr/local/sbin/fence", "--off"]);

    let [office, lab] = &scopes[..] else { panic!("{scopes:?}") };
    assert_eq!(office.owner, ScopeOwner::Relationship("office".into()));
    assert_eq!((lab.disabled, &lab.owner), (true, &ScopeOwner::Node("dhcp-b".into())));
    assert_eq!(office.forced_options, [43, 66]);
    assert_eq!(office.options[&150], [10, 20, 0, 9]);
    assert_eq!(office.pools[1].class.as_deref(), Some("voip"));
    assert_eq!(office.pools[1].options[&66], b"10.20.0.9");
    let lease_time = LeaseTime {
        default: Duration::from_secs(28_800),
        min: Duration::from_secs(600),
        max: Duration::from_secs(86_400),
    };
    assert_eq!(office.lease_time, lease_time);
    assert_eq!(office.reservations[1].holder, ReservationHolder::CircuitId(vec![0, 4, 0, 10, 1, 5]));
    assert_eq!(classes[0].matches[0].vendor_class, Some(Pattern { bytes: b"Cisco".to_vec(), prefix: true }));
    assert_eq!(classes[0].unless.as_ref().unwrap().architecture, Some(7));
}

#[test]
fn two_nodes_are_a_pair_without_saying_so() {
    let text = PAIR.replace("relationship = \"office\"\n", "");
    let (before, rest) = text.split_once("[[relationship]]").unwrap();
    let (_, after) = rest.split_once("[[scope]]").unwrap();
    let configuration = good(&format!("{before}[[scope]]{after}")).configuration;
    let pair = &configuration.relationships[0];
    assert_eq!((pair.name.as_str(), pair.primary.as_str(), pair.standby.as_str()), ("pair", "dhcp-a", "dhcp-b"));
    assert_eq!(pair.failover.failback, Failback::Manual);
    assert_eq!(configuration.scopes[0].owner, ScopeOwner::Relationship("pair".into()));
}

#[test]
fn one_node_serves_its_scopes_alone() {
    let cluster =
        good(&with_scope("subnet = \"10.0.0.0/8\"\npools = [\"10.0.0.1-10.255.255.254\"]\nlease_time = \"1h\""));
    let Scope { owner, lease_time, authoritative, .. } = &cluster.configuration.scopes[0];
    assert_eq!((owner, *authoritative), (&ScopeOwner::Node("a".into()), true));
    assert_eq!((lease_time.min, lease_time.max), (Duration::from_secs(3_600), Duration::from_secs(3_600)));
    assert!(cluster.configuration.relationships.is_empty());
}

#[test]
fn every_mistake_is_reported_with_its_line() {
    let text = PAIR
        .replace("http       =", "htpp       =")
        .replace("10.0.0.12:6767", "10.0.0.12")
        .replace("standby = \"dhcp-b\"", "standby = \"dhcp-c\"")
        .replace("\"10.20.0.100-10.20.0.103\"", "\"10.20.0.103-10.20.0.100\"")
        .replace("class = \"voip\"", "class = \"void\"");
    let mistakes = ClusterFile::parse("cluster.toml", &text).unwrap_err();
    let lines: Vec<usize> = mistakes.iter().map(|mistake| mistake.line_and_column().0).collect();
    assert_eq!(lines, [14, 18, 25, 36, 37], "{}", shown(&mistakes));
}

#[test]
fn what_is_not_toml_is_shown_where_it_ends_to_be() {
    assert_shown(
        "what_is_not_toml_is_shown_where_it_ends_to_be",
        &mistakes_after(&[("cluster = \"hq-dhcp\"", "cluster = hq-dhcp"), ("[[node]]", "[[node]")]),
    );
}

#[test]
fn unknown_and_missing_keys() {
    assert_shown(
        "unknown_and_missing_keys",
        &mistakes_after(&[
            ("cluster = \"hq-dhcp\"\n", ""),
            ("[failover]", "[failoverr]"),
            ("interfaces =", "interface ="),
            ("rpc         = \"10.0.0.12:6767\"\n", ""),
            ("min = \"10m\"", "minimum = \"10m\""),
            ("hostname =", "host_name ="),
        ]),
    );
}

#[test]
fn values_that_cannot_be_read() {
    assert_shown(
        "values_that_cannot_be_read",
        &mistakes_after(&[
            ("\"100ms\"", "100"),
            ("\"manual\"", "\"sometimes\""),
            ("rpc        = \"10.0.0.11:6767\"", "rpc        = \"dhcp-a:6767\""),
            ("interfaces = [\"eth1\"]", "interfaces = \"eth1\""),
            ("name         = \"office-lan\"", "name         = \"office lan\""),
            ("10.20.0.50-10.20.0.199", "10.20.0.50/25"),
            ("02:00:5e:10:00:01", "02:00:5e:10:00"),
            ("hex:0004000a0105", "hex:0004000a010"),
            ("routers = [\"10.20.0.1\"]", "routers = [\"10.20.0.256\"]"),
            ("domain-name =", "domain-nam ="),
            ("\"150\" =", "\"51\" ="),
            ("[43, ", "[53, "),
            ("disabled = true", "disabled = \"yes\""),
        ]),
    );
}

#[test]
fn nodes_and_relationships_that_do_not_fit() {
    assert_shown(
        "nodes_and_relationships_that_do_not_fit",
        &mistakes_after(&[
            ("name        = \"dhcp-b\"", "name        = \"dhcp-a\""),
            ("10.0.0.12:6767", "10.0.0.11:6767"),
            ("interfaces = [\"eth1\"]", "interfaces = []\nserver_identifier = \"10.20.0.3\""),
            ("standby = \"dhcp-b\"", "standby = \"dhcp-a\""),
            ("primary = \"dhcp-a\"\nstandby = \"dhcp-a\"", "primary = \"dhcp-a\"\nstandby = \"dhcp-a\"\n"),
            ("node     = \"dhcp-b\"", "node     = \"dhcp-x\""),
            ("relationship = \"office\"", "relationship = \"offcie\""),
        ]),
    );
}

#[test]
fn timers_that_contradict_each_other() {
    assert_shown(
        "timers_that_contradict_each_other",
        &mistakes_after(&[
            ("\"100ms\"", "\"600ms\""),
            ("mclt           = \"30m\"", "mclt           = \"0s\"\nheartbeat_timeout = \"1100ms\""),
        ]),
    );
}

#[test]
fn scopes_and_pools_that_do_not_fit() {
    assert_shown(
        "scopes_and_pools_that_do_not_fit",
        &mistakes_after(&[
            ("10.20.0.200-10.20.0.249", "10.20.0.199-10.20.1.5"),
            ("10.20.0.50-", "10.20.0.0-"),
            ("10.21.0.0/24", "10.20.0.0/16"),
            ("10.21.0.10-10.21.0.20", "10.20.255.0-10.20.255.255"),
            ("min = \"10m\", max = \"24h\"", "min = \"9h\", max = \"7h\""),
            ("\"10.20.0.100-10.20.0.103\"", "\"10.30.0.100\""),
            ("name     = \"lab\"", "name     = \"office-lan\""),
        ]),
    );
}

#[test]
fn a_subnet_with_host_bits() {
    assert_shown("a_subnet_with_host_bits", &mistakes_after(&[("10.21.0.0/24", "10.21.0.5/24")]));
}

#[test]
fn reservations_that_do_not_fit() {
    assert_shown(
        "reservations_that_do_not_fit",
        &mistakes_after(&[(
            "[[scope.reservation]]\ncircuit_id = \"hex:0004000a0105\"\naddress    = \"10.20.0.21\"\n",
            r#"
[[scope.reservation]]
hardware = "02-00-5e-10-00-01"
address  = "10.20.0.20"

[[scope.reservation]]
client_id  = "terminal"
circuit_id = "hex:00"
address    = "10.20.0.255"

[[scope.reservation]]
address    = "10.22.0.9"
"#,
        )]),
    );
}

#[test]
fn classes_that_match_nothing_or_everything() {
    assert_shown(
        "classes_that_match_nothing_or_everything",
        &mistakes_after(&[("unless  = { architecture = 7 }", "unless  = {}\nmatch_any = [{ hardware = \"xx*\" }]")]),
    );
}

#[test]
fn a_scope_that_nobody_serves() {
    assert_shown(
        "a_scope_that_nobody_serves",
        &mistakes_after(&[
            ("relationship = \"office\"\n", ""),
            (
                "[[class]]",
                "[[relationship]]\nname = \"branch\"\nprimary = \"dhcp-b\"\nstandby = \"dhcp-a\"\n\n[[class]]",
            ),
        ]),
    );
}

#[test]
fn a_pool_of_one_parity_is_a_warning() {
    let odd = "subnet = \"10.0.0.0/24\"\npools = [\"10.0.0.9\", \"10.0.0.20-10.0.0.29\"]\nexclude = [\"10.0.0.20-10.0.0.22\"]";
    let cluster = good(&with_scope(odd));
    assert_shown("a_pool_of_one_parity_is_a_warning", &shown(&cluster.warnings));
}

proptest::proptest! {
    /// The text of `config apply` comes over the network: whatever it holds is an answer, never a crash.
    #[test]
    fn a_damaged_file_is_read_or_refused(
        place in 0..PAIR.len(),
        length in 0..40_usize,
        patch in "[\\[\\]{}=\"',.0-9a-z:/\\n -]{0,6}|\\PC{0,3}",
    ) {
        let end = (place + length).min(PAIR.len());
        let text = format!("{}{patch}{}", &PAIR[..place], &PAIR[end..]);
        match ClusterFile::parse("cluster.toml", &text) {
            Ok(cluster) => {
                let original = good(PAIR);
                diff::diff(&original, &cluster).iter().for_each(|change| assert!(!change.to_string().is_empty()));
            }
            Err(mistakes) => assert!(!shown(&mistakes).is_empty()),
        }
    }
}
