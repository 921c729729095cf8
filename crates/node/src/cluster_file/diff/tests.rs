use super::*;
use crate::cluster_file::ClusterFile;

const OLD: &str = r#"
cluster = "hq"

[[node]]
name = "a"
rpc = "10.0.0.11:6767"
interfaces = ["eth1"]

[[node]]
name = "b"
rpc = "10.0.0.12:6767"
interfaces = ["eth1"]

[[relationship]]
name = "office"
primary = "a"
standby = "b"

[[relationship]]
name = "branch"
primary = "b"
standby = "a"

[[class]]
name = "voip"
match = { vendor_class = "Cisco*" }

[[class]]
name = "boot"
match = { architecture = 7 }

[[scope]]
name = "lan"
relationship = "office"
subnet = "10.20.0.0/24"
pools = ["10.20.0.50-10.20.0.99", "10.20.0.100-10.20.0.199"]
options = { routers = ["10.20.0.1"], domain-name = "hq.example.net" }

[[scope]]
name = "lab"
relationship = "office"
subnet = "10.21.0.0/24"
pools = ["10.21.0.10-10.21.0.99"]
"#;

fn parse(text: &str) -> Cluster {
    ClusterFile::parse("cluster.toml", text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

/// What is printed when `replacements` are made in [`OLD`].
fn printed(replacements: &[(&str, &str)]) -> String {
    let mut new = OLD.to_owned();
    for (from, to) in replacements {
        assert!(new.contains(from), "{from}");
        new = new.replacen(from, to, 1);
    }
    diff(&parse(OLD), &parse(&new)).iter().map(Change::to_string).collect()
}

#[test]
fn nothing_changes_by_other_spacing_and_spelling() {
    assert_eq!(printed(&[("primary = \"a\"", "primary    = 'a' # the first"), ("routers", "\"3\"")]), "");
}

#[test]
fn keys_are_told_in_the_words_of_the_file() {
    let printed = printed(&[
        ("standby = \"b\"", "standby = \"b\"\nfailover = { mclt = \"30m\", failback = \"manual\" }"),
        ("rpc = \"10.0.0.12:6767\"", "rpc = \"10.0.0.13:6767\"\nhttp = \"127.0.0.1:9667\""),
        ("[\"10.20.0.1\"], domain-name", "[\"10.20.0.1\", \"10.20.0.2\"], ntp-servers"),
        ("\"hq.example.net\"", "[\"10.0.0.9\"]"),
    ]);
    let expected = "\
~ node b
    rpc: 10.0.0.12:6767 -> 10.0.0.13:6767
    http: + 127.0.0.1:9667
    afterwards: restart b: it opens these when it starts
~ relationship office
    mclt: 1h -> 30m
    failback: auto -> manual
    failback_delay: - 30s
~ scope lan
    options: - routers = 10.20.0.1
    options: - domain-name = hq.example.net
    options: + routers = 10.20.0.1, 10.20.0.2
    options: + ntp-servers = 10.0.0.9
";
    assert_eq!(printed, expected);
}

#[test]
fn a_smaller_pool_names_the_addresses_that_clients_lose() {
    let printed = printed(&[
        ("10.20.0.50-10.20.0.99", "10.20.0.60-10.20.0.99"),
        ("\"10.20.0.100-10.20.0.199\"]", "\"10.20.0.100-10.20.0.199\"]\nexclude = [\"10.20.0.150\"]"),
    ]);
    let expected = "\
~ scope lan
    pools: 10.20.0.50-10.20.0.99 -> 10.20.0.60-10.20.0.99
    exclude: + 10.20.0.150
    leases of 10.20.0.50-10.20.0.59: no longer given away; clients there are refused when they renew
    leases of 10.20.0.150: no longer given away; clients there are refused when they renew
";
    assert_eq!(printed, expected);
}

#[test]
fn a_reservation_in_a_pool_touches_whoever_is_there() {
    let reservation = "[[scope.reservation]]\nhardware = \"02:00:5e:10:00:01\"\naddress = \"10.21.0.20\"\n";
    let printed = printed(&[(
        "pools = [\"10.21.0.10-10.21.0.99\"]\n",
        &format!("pools = [\"10.21.0.10-10.21.0.99\"]\n{reservation}"),
    )]);
    let expected = "\
~ scope lab
    reservation: + 10.21.0.20 for hardware 02:00:5e:10:00:01
    leases of 10.21.0.20: kept for hardware 02:00:5e:10:00:01; another client there is refused when it renews
";
    assert_eq!(printed, expected);
}

#[test]
fn a_pool_that_gets_a_class_touches_the_clients_of_others() {
    let printed =
        printed(&[("\"10.20.0.100-10.20.0.199\"", "{ range = \"10.20.0.100-10.20.0.199\", class = \"voip\" }")]);
    assert!(
        printed.ends_with(
            "leases of 10.20.0.100-10.20.0.199: for class voip; other clients there are refused when they renew\n"
        ),
        "{printed}"
    );
}

#[test]
fn a_renamed_scope_loses_nothing() {
    let printed = printed(&[("name = \"lab\"", "name = \"laboratory\"")]);
    assert_eq!(printed, "- scope lab\n+ scope laboratory\n");
}

#[test]
fn a_removed_scope_loses_all() {
    let (before, _) = OLD.split_once("[[scope]]\nname = \"lab\"").unwrap();
    let printed: String = diff(&parse(OLD), &parse(before)).iter().map(Change::to_string).collect();
    let lost = "    leases of 10.21.0.10-10.21.0.99: no longer given away; clients there are refused when they renew\n";
    assert_eq!(printed, format!("- scope lab\n{lost}"));
}

#[test]
fn a_scope_moves_only_while_it_is_disabled() {
    const MOVE: (&str, &str) =
        ("name = \"lab\"\nrelationship = \"office\"", "name = \"lab\"\nrelationship = \"branch\"");
    let moved = printed(&[MOVE]);
    assert!(
        moved.contains("REFUSED: the addresses of lab go to other nodes: `standfast scope disable lab` first"),
        "{moved}"
    );
    let renamed = printed(&[MOVE, ("name = \"lab\"", "name = \"laboratory\"")]);
    assert!(renamed.contains("+ scope laboratory\n    REFUSED: the addresses of lab"), "{renamed}");

    let disabled = OLD.replace("name = \"lab\"", "name = \"lab\"\ndisabled = true");
    let branch =
        disabled.replace("disabled = true\nrelationship = \"office\"", "disabled = true\nrelationship = \"branch\"");
    let changes = diff(&parse(&disabled), &parse(&branch));
    assert!(changes.iter().all(|change| change.refused.is_empty()), "{changes:#?}");
}

#[test]
fn disabling_says_what_clients_feel() {
    let printed = printed(&[("name = \"lab\"", "name = \"lab\"\ndisabled = true")]);
    let expected = "\
~ scope lab
    disabled: false -> true
    leases of 10.21.0.10-10.21.0.99: not served while disabled; clients keep them until they end
";
    assert_eq!(printed, expected);
}

#[test]
fn the_cluster_keeps_its_name_and_the_order_of_classes_counts() {
    let printed = printed(&[
        ("cluster = \"hq\"", "cluster = \"h2\""),
        ("\"voip\"", "\"x\""),
        ("\"boot\"", "\"voip\""),
        ("\"x\"", "\"boot\""),
    ]);
    assert!(
        printed.contains(
            "    cluster: hq -> h2\n    class: voip, boot -> boot, voip\n    REFUSED: a cluster keeps its name"
        ),
        "{printed}"
    );
}
