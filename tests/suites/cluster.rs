//! Two real nodes and real clients in network namespaces: what a site would see, judged from the frames on its LAN.
//!
//! Each test is a story with a [`Pair`](pair::Pair). Nothing is asserted after a sleep: conditions are waited for, and
//! what must never happen is judged over the whole capture.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

#[path = "cluster/bad_peers.rs"]
mod bad_peers;
#[path = "cluster/container.rs"]
mod container;
#[path = "cluster/copy.rs"]
mod copy;
#[path = "cluster/cut_link.rs"]
mod cut_link;
#[path = "cluster/damage.rs"]
mod damage;
#[path = "cluster/death.rs"]
mod death;
#[path = "cluster/faults.rs"]
mod faults;
#[path = "cluster/full_disk.rs"]
mod full_disk;
#[path = "cluster/honest.rs"]
mod honest;
#[path = "cluster/kills.rs"]
mod kills;
#[path = "cluster/laboratory.rs"]
mod laboratory;
#[path = "cluster/observing.rs"]
mod observing;
#[path = "cluster/pair.rs"]
mod pair;
#[path = "cluster/perfdhcp.rs"]
mod perfdhcp;
#[path = "cluster/real_clients.rs"]
mod real_clients;
#[path = "cluster/siege.rs"]
mod siege;
#[path = "cluster/silence.rs"]
mod silence;
#[path = "cluster/start_page.rs"]
mod start_page;
#[path = "cluster/starts.rs"]
mod starts;
#[path = "cluster/strangers.rs"]
mod strangers;
#[path = "cluster/switchover.rs"]
mod switchover;
#[path = "cluster/upgrade.rs"]
mod upgrade;
