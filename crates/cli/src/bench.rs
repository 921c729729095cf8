//! `standfast bench`: simulated clients behind a simulated relay, for whoever wants to know what a DHCP server does, ours
//! or another's.
//!
//! In a *closed* loop so many exchanges are under way at a time, and a slow server slows the load down. In an *open*
//! loop so many begin in a second, whatever becomes of them; times count from when an exchange was to begin, so that a
//! server which stands still is charged with all that waited. What clients are told is kept, and an address that two of
//! them may use at a time is counted and fails the run.

mod load;
mod report;
mod wire;

use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use clap::{Args, ValueEnum};
use load::{Load, Pace, Plan};
use report::Report;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};
use wire::Relay;

const DHCP: u16 = 67;
/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(1);
/// Longer than this nobody waits for what is under way at the end.
const LEFT_OVER: Duration = Duration::from_secs(2);

#[derive(Args)]
#[command(after_help = "Every client gets a lease of the servers: use a scope that is made for this.")]
pub(crate) struct Bench {
    /// Server to load; give each server of a cluster, as a relay has them all
    #[arg(long, required = true, value_name = "ADDRESS[:PORT]", value_parser = server)]
    target: Vec<SocketAddrV4>,
    /// Address of this machine that the relay has: servers answer to it and find the scope by it
    /// [default: the one from which the first server is reached, port 67]
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = server)]
    relay: Option<SocketAddrV4>,
    /// What each exchange is
    #[arg(long, value_enum, default_value_t = Kind::Lease)]
    exchange: Kind,
    /// Closed loop: exchanges under way at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    outstanding: u32,
    /// Open loop: exchanges begun in a second
    #[arg(long, value_name = "NUMBER", conflicts_with = "outstanding", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Clients that get a lease before renewals are measured
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: u32,
    /// End after so many exchanges
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    count: u32,
    /// End after this time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    duration: Duration,
    /// Give an exchange up after this time, instead of sending again after 4, 8, 16 s as RFC 2131 says
    #[arg(long, value_name = "TIME", value_parser = span)]
    give_up: Option<Duration>,
    /// Number of the first client; the same number means the same clients
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    first_client: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a client wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    /// DISCOVER, OFFER, REQUEST, ACK, of a new client each time
    Lease,
    /// REQUEST, ACK: clients that have a lease ask all servers to extend it
    Renewal,
}

impl Bench {
    pub(crate) fn run(self) -> Outcome {
        let relay = Relay::open(self.relay, &self.target)?;
        if self.exchange == Kind::Renewal {
            let mut binding = Load::new(self.binding_plan(&relay), Instant::now());
            drive(&relay, &mut binding, None)?;
            let bound = binding.bound();
            if bound.is_empty() {
                return Err(nobody_answers(&self.target));
            }
            let mut load = Load::renewing(self.plan(&relay), bound, Instant::now());
            return self.measure(&relay, &mut load);
        }
        let mut load = Load::new(self.plan(&relay), Instant::now());
        self.measure(&relay, &mut load)
    }

    fn measure(&self, relay: &Relay, load: &mut Load) -> Outcome {
        let shown = output::shows_progress().then_some(PROGRESS);
        let took = drive(relay, load, shown)?;
        let report = Report::of(load.tally(), took);
        let text = if self.json {
            serde_json::to_string(&report).map_err(|error| Failure::new(Exit::Failed, error))?
        } else {
            report.text()
        };
        output::line(&text);
        if report.completed == 0 {
            return Err(nobody_answers(&self.target));
        }
        if report.doubled > 0 {
            let doubled = report.doubled;
            return Err(Failure::new(Exit::Failed, format!("{doubled} addresses were given to two clients at a time")));
        }
        Ok(Exit::Done)
    }

    fn plan(&self, relay: &Relay) -> Plan {
        let pace = self.rate.map_or(Pace::Outstanding(self.outstanding), Pace::Rate);
        Plan {
            relay: *relay.address.ip(),
            own_port: relay.address.port() != DHCP,
            pace,
            count: self.count,
            duration: self.duration,
            give_up: self.give_up,
            first_client: self.first_client,
        }
    }

    fn binding_plan(&self, relay: &Relay) -> Plan {
        let pace = Pace::Outstanding(32);
        // Many leases take their time, and every client counts; what is lost here is seen in the numbers.
        let duration = Duration::from_secs(10 + u64::from(self.clients) / 100);
        Plan { pace, count: self.clients, duration, ..self.plan(relay) }
    }
}

/// Sends and listens until the load is through. Returns how long exchanges were begun and answered.
fn drive(relay: &Relay, load: &mut Load, progress: Option<Duration>) -> Result<Duration, Failure> {
    let began = Instant::now();
    let mut next_shown = began;
    loop {
        let now = Instant::now();
        for packet in load.due(now) {
            relay.send(&packet)?;
        }
        if load.is_over(now, LEFT_OVER) {
            break;
        }
        if let Some(every) = progress.filter(|_| next_shown <= now) {
            output::progress(&load.progress(now));
            next_shown = now + every;
        }
        let until = load.next_due(now).min(next_shown.max(now + Duration::from_millis(1)));
        relay.receive(until.saturating_duration_since(now), |from, bytes| load.hear(Instant::now(), from, bytes))?;
    }
    if progress.is_some() {
        output::progress("");
    }
    Ok(load.last_answer().saturating_duration_since(began))
}

fn nobody_answers(targets: &[SocketAddrV4]) -> Failure {
    let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
    let what = format!(
        "no client got a lease of {}: does a scope there take requests of this relay, and is an address left?",
        targets.join(", ")
    );
    Failure::new(Exit::Unreachable, what)
}

/// An address of one machine, and a port, which is 67 unless given.
fn server(text: &str) -> Result<SocketAddrV4, String> {
    let address: SocketAddrV4 = match text.parse() {
        Ok(address) => address,
        Err(_) => SocketAddrV4::new(text.parse::<Ipv4Addr>().map_err(|error| error.to_string())?, DHCP),
    };
    let ip = address.ip();
    if ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() {
        return Err(format!("{ip} is not the address of one machine"));
    }
    Ok(address)
}

/// More than nothing, and at most a day.
fn span(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if span.is_zero() || span > Duration::from_secs(86_400) {
        return Err("between 1ms and 1day".into());
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bench: Bench,
    }

    fn parse(arguments: &str) -> Result<Bench, String> {
        let words = ["bench"].into_iter().chain(arguments.split_whitespace());
        Line::try_parse_from(words).map(|line| line.bench).map_err(|error| error.to_string())
    }

    #[test]
    fn it_does_not_start_without_a_target() {
        let error = parse("--rate 10").err().unwrap();
        assert!(error.contains("--target"), "{error}");
    }

    #[test]
    fn a_target_is_one_machine() {
        let bench = parse("--target 10.0.0.1 --target 10.0.0.2:1067").unwrap();
        let expected = [SocketAddrV4::new([10, 0, 0, 1].into(), 67), SocketAddrV4::new([10, 0, 0, 2].into(), 1_067)];
        assert_eq!(bench.target, expected);
        for wrong in ["255.255.255.255", "224.0.0.1", "0.0.0.0", "dhcp-a"] {
            assert!(parse(&format!("--target {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn it_is_bounded_in_count_and_time() {
        let bench = parse("--target 10.0.0.1").unwrap();
        assert_eq!((bench.count, bench.duration), (10_000, Duration::from_secs(10)));
        assert!(parse("--target 10.0.0.1 --duration 2days").is_err());
        assert!(parse("--target 10.0.0.1 --count 0").is_err());
        assert!(parse("--target 10.0.0.1 --rate 5 --outstanding 5").is_err(), "one loop at a time");
    }
}
