//! DHCP as the RFCs and the tables of the reference want it, sentence by sentence, against one core or a pair of them.
//!
//! A test is named after the section or the row that it holds to. Nothing here knows how an answer is made: packets go
//! in by the door of a [`Node`](standfast_core::node::Node), and what comes out is read as a strict client reads it.

#[path = "conformance/answers.rs"]
mod answers;
#[path = "conformance/anything.rs"]
mod anything;
#[path = "conformance/client.rs"]
mod client;
#[path = "conformance/clients.rs"]
mod clients;
#[path = "conformance/destinations.rs"]
mod destinations;
#[path = "conformance/explain.rs"]
mod explain;
#[path = "conformance/foreign.rs"]
mod foreign;
#[path = "conformance/interrupted.rs"]
mod interrupted;
#[path = "conformance/lab.rs"]
mod lab;
#[path = "conformance/naks.rs"]
mod naks;
#[path = "conformance/options.rs"]
mod options;
#[path = "conformance/probe.rs"]
mod probe;
#[path = "conformance/reservations.rs"]
mod reservations;
#[path = "conformance/same_answer.rs"]
mod same_answer;
#[path = "conformance/silence.rs"]
mod silence;
