//! The laboratory itself: cables carry frames, cut ones do not, and the capture says who sent what.

use dhcproto::v4::MessageType;
use standfast_tests::capture::{Capture, Direction, Endpoint};
use standfast_tests::device::{Device, Say};
use standfast_tests::frame::Frame;
use standfast_tests::judge::reached_node;
use standfast_tests::lab::{Cable, Lab, enter};
use standfast_tests::wait::{LONG, until_true};
use std::time::Duration;

#[test]
fn frames_pass_until_a_cable_is_cut_and_again_when_it_is_healed() {
    if !enter("laboratory::frames_pass_until_a_cable_is_cut_and_again_when_it_is_healed", &[]) {
        return;
    }
    let lab = Lab::new(1);
    let capture = Capture::start(&lab);
    let mut device = Device::new(&lab.clients[0], 1);
    let reached = |node| reached_node(&capture.all(), node).len();
    let mut say_until = |what: &str, condition: &dyn Fn() -> bool| {
        until_true(what, LONG, || {
            device.say(Say::Discover, None);
            condition()
        });
    };
    say_until("both nodes to be reached", &|| reached(0) > 0 && reached(1) > 0);

    lab.cut(0, Cable::Lan);
    // What was on its way when the cable was cut has arrived once the other node has been reached again.
    let (cut, other) = (reached(0), reached(1));
    say_until("the other node to be reached again", &|| reached(1) > other + 1);
    let at_most_one_on_its_way = cut + 1;
    assert!(reached(0) <= at_most_one_on_its_way, "frames passed a cut cable");
    let still = reached(0);
    say_until("the other node to be reached once more", &|| reached(1) > other + 5);
    assert_eq!(reached(0), still, "frames passed a cut cable");

    lab.heal(0, Cable::Lan);
    say_until("the node to be reached through the healed cable", &|| reached(0) > still);
    let all = capture.all();
    let own = all.iter().filter(|it| it.endpoint == Endpoint::Client(0) && it.direction == Direction::Sent);
    assert!(own.clone().count() > 0);
    assert!(own.clone().all(|it| matches!(&it.frame, Frame::Dhcp(_))), "hosts say nothing of their own accord");
    assert!(device.hear(MessageType::Offer, None, Duration::from_millis(1)).is_err(), "there is no server here");
}

#[test]
fn the_link_between_the_nodes_can_be_cut_alone() {
    if !enter("laboratory::the_link_between_the_nodes_can_be_cut_alone", &[]) {
        return;
    }
    let lab = Lab::new(0);
    // A closed port refuses at once through a whole cable, and nothing comes back through a cut one.
    let connect = || {
        let address = "10.0.0.12:9".parse().unwrap();
        let error =
            lab.nodes[0].namespace.inside(|| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)));
        error.expect_err("nobody listens there").kind()
    };
    until_true("the cable to carry", LONG, || connect() == std::io::ErrorKind::ConnectionRefused);
    lab.cut(0, Cable::Peer);
    assert_eq!(connect(), std::io::ErrorKind::TimedOut);
    lab.heal(0, Cable::Peer);
    until_true("the healed cable to carry", LONG, || connect() == std::io::ErrorKind::ConnectionRefused);
}
