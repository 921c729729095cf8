//! The store of one node is damaged while it is down: it starts, says what it set aside, and gets it back.

use crate::pair::{A, B, Pair, Plan, address};
use dhcproto::v4::MessageType;
use standfast_tests::crowd::{Crowd, Load};
use standfast_tests::device::{Device, Patience, Say};
use standfast_tests::judge::{deactivated_is_silent, first_answer, reached_node};
use standfast_tests::lab::enter;
use standfast_tests::say;
use standfast_tests::wait::{LONG, until, until_true};
use std::fs;
use std::path::Path;
use std::time::Instant;

const LEASES: u64 = 400;
const PAGE: usize = 4_096;
const QUICK_START: &str = r#"startup_timeout = "3s""#;
const MUST_HEAR_PARTNER: &str = "SF1012";
const STORE_LOST: &str = "SF3001";
const SET_ASIDE: &str = "SF3005";

/// Its name, whether anything is lost by it, and how it is done to the store of a node that was killed.
type Damage = (&'static str, bool, fn(&Path));

/// What may befall a store.
const DAMAGES: [Damage; 5] = [
    ("a flipped bit in the middle", true, |store| {
        edit(store, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
    }),
    ("flipped bits all over", true, |store| {
        edit(store, |bytes| (0..bytes.len()).step_by(9_973).for_each(|at| bytes[at] ^= 0x10));
    }),
    ("zeroed pages", true, |store| {
        edit(store, |bytes| {
            for at in [bytes.len() / 4, bytes.len() / 2] {
                let page = at / PAGE * PAGE;
                let end = bytes.len().min(page + PAGE);
                bytes[page..end].fill(0);
            }
        });
    }),
    ("a truncated file", true, |store| edit(store, |bytes| bytes.truncate(bytes.len() * 6 / 10))),
    ("a half-written snapshot", false, |store| {
        fs::write(store.join("snap.00000000000FFFFF.generating"), vec![7; 3 * PAGE]).unwrap();
    }),
];

/// Changes what is in the files that hold the records: the database, and the journal with what the database has not taken
/// over yet. A tail of zeros is no place for damage.
fn edit(store: &Path, change: impl Fn(&mut Vec<u8>)) {
    for name in ["db", "journal.0", "journal.1"] {
        let path = store.join(name);
        let mut bytes = fs::read(&path).unwrap();
        let Some(last) = bytes.iter().rposition(|it| *it != 0) else { continue };
        let tail = bytes.split_off(last + 1);
        let before = bytes.len();
        change(&mut bytes);
        if bytes.len() == before {
            bytes.extend(tail);
        }
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_damaged_store_is_made_whole_by_the_partner() {
    if !enter("damage::a_damaged_store_is_made_whole_by_the_partner", &[]) {
        return;
    }
    let mut pair = Pair::start_with(Plan { failover: QUICK_START, ..Plan::new(2, "8h") });
    Crowd::prepare(&pair.lab, 0);
    let load = Load { exchanges: Some(LEASES), ..Load::new_clients(200) };
    let crowd = Crowd::start(&pair.lab.clients[0], load);
    until_true("the crowd to have come", LONG, || crowd.is_done());
    assert_eq!(crowd.finish().completed, LEASES);
    let before = pair.leases();

    for (name, loses, damage) in DAMAGES {
        let data = pair.site(B).data_dir();
        pair.kill(B);
        damage(&data.join("store"));
        let told = |pair: &Pair| [STORE_LOST, SET_ASIDE].map(|code| pair.site(B).count(code));
        let before_start = told(&pair);
        pair.boot(B, false);
        pair.wait_until_in_step(A);
        let after = pair.leases();
        assert_eq!(after.len(), before.len(), "{name}");
        let [lost, aside] = [0, 1].map(|index| told(&pair)[index] > before_start[index]);
        say(&format!("{name}: all {} leases are there; store lost: {lost}, records set aside: {aside}", after.len()));
        assert_eq!(lost || aside, loses, "{name}: it says what it lost, and nothing else");
    }
    // What came back is whole: it serves.
    pair.switch_over_to(B);
    let mut device = Device::new(&pair.lab.clients[1], 1);
    assert_eq!(device.obtain(None, Patience::USUAL).unwrap().server, address(B));
    pair.judge();
}

#[test]
fn a_node_that_lost_its_store_serves_nobody_alone() {
    if !enter("damage::a_node_that_lost_its_store_serves_nobody_alone", &[]) {
        return;
    }
    let mut pair = Pair::start_with(Plan { failover: QUICK_START, ..Plan::new(1, "8h") });
    let mut known = Device::new(&pair.lab.clients[0], 1);
    let held = known.obtain(None, Patience::USUAL).unwrap();
    let data = pair.site(B).data_dir();
    pair.leases();
    pair.kill(A);
    pair.kill(B);
    edit(&data.join("store"), |bytes| bytes.truncate(bytes.len() / 2));

    let start = Instant::now();
    pair.boot(B, false);
    until("the node to say that it must hear its partner", LONG, || {
        let status = pair.daemon(B).ask(&["status"])?;
        let told = pair.site(B).count(MUST_HEAR_PARTNER) > 0;
        let todo = status["todo"].as_str().unwrap_or_default();
        if told && todo.contains(&pair.site(A).name) { Ok(()) } else { Err(status.to_string()) }
    });
    let mut stranger = Device::new(&pair.lab.clients[0], 2);
    stranger.say(Say::Discover, None);
    known.say(Say::Rebinding { address: held.address }, None);
    until_true("both to reach the node", LONG, || reached_node(&pair.capture.since(start), B).len() >= 2);
    pair.settle(B);
    let emitted = deactivated_is_silent(&pair.capture.since(start), B);
    assert!(emitted.is_empty(), "{emitted:#?}");

    // Its partner has it all. But it was down as well, so that nobody knows what was promised by whom: others wait until
    // the longest lease is over, or somebody answers for it. So do known clients where no clock says for how long the two
    // were down, which depends on the machine.
    pair.boot(A, false);
    let active = pair.wait_for_normal();
    let start = Instant::now();
    stranger.say(Say::Discover, None);
    until_true("the stranger to reach the node", LONG, || !reached_node(&pair.capture.since(start), active).is_empty());
    pair.settle(active);
    assert_eq!(first_answer(&pair.capture.since(start), active, MessageType::Offer), None);
    for node in [A, B] {
        assert!(pair.daemon(node).ask(&["status"]).unwrap()["relationships"][0]["embargo_ms"].is_number());
        pair.accept_risk(node);
    }
    assert_eq!(known.rebind(held.address, None, Patience::USUAL).unwrap().address, held.address);
    let new = stranger.obtain(None, Patience::USUAL).unwrap();
    assert_ne!(new.address, held.address);
    pair.leases();
    pair.judge();
}
