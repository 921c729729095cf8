//! `standfast demo`: a real cluster on loopback, whose active node is killed before your eyes.
//!
//! The nodes are two processes of this program with certificates, stores and gRPC between them, as in production; only
//! the clients are made up. They reach both nodes through a made-up relay, as clients of two servers do. A judge of
//! the demo's own watches what the clients are told.

mod crowd;
mod judge;
mod pair;
mod stage;
mod story;
mod view;

use crate::admin;
use crate::events;
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use crate::screen::{Key, Screen};
use crate::status::follow::follow;
use clap::Args;
use crowd::Node;
use pair::RELAY;
use stage::Stage;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// How often clients and story are looked after.
const TICK: Duration = Duration::from_millis(10);
const PICTURE: Duration = Duration::from_millis(100);
const STATUS: Duration = Duration::from_millis(100);
/// Longer than any answer.
const PACKET: usize = 2_048;

#[derive(Args)]
pub(crate) struct Demo {
    /// Print a line for each event instead of the live view
    #[arg(long)]
    headless: bool,
}

impl Demo {
    pub(crate) fn run(self) -> Outcome {
        let headless = self.headless || !output::is_terminal();
        admin::block_on(async move {
            let mut stage = Stage::set(Instant::now())?;
            let ended = play(&mut stage, headless).await?;
            stage.news().iter().filter(|_| headless).for_each(|line| output::line(line));
            if ended == Ended::Interrupted {
                output::line("Interrupted; both nodes are stopped and nothing is left behind.");
                return Ok(Exit::Done);
            }
            let (summary, good) = stage.summary();
            output::line(&summary);
            if good { Ok(Exit::Done) } else { Err(Failure::new(Exit::Failed, "the demo did not go as it should")) }
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    Played,
    Interrupted,
}

/// The whole story; the terminal is given back at its end.
async fn play(stage: &mut Stage, headless: bool) -> Result<Ended, Failure> {
    let relay = UdpSocket::bind((RELAY, 0)).await.map_err(|error| failed("no socket for the relay", &error))?;
    let mut news = both(|node| follow(stage.pair().server(node), STATUS));
    let mut events = both(|node| events::follow(stage.pair().server(node)));
    let mut stops = Stops::new()?;
    let mut screen = if headless { None } else { Some(Screen::take()?) };
    let mut ticks = tokio::time::interval(TICK);
    let mut pictures = tokio::time::interval(PICTURE);
    let mut packet = [0; PACKET];
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let (packets, over) = stage.tick(Instant::now())?;
                relay_to_both(&relay, stage, &packets).await;
                if over {
                    return Ok(Ended::Played);
                }
            }
            received = relay.recv_from(&mut packet) => {
                // What cannot be delivered to a node that is dead comes back as an error.
                let Ok((length, from)) = received else { continue };
                if let Some(node) = sender(stage, from) {
                    stage.packet(Instant::now(), node, &packet[..length]);
                }
            }
            Some((node, news)) = news.recv() => stage.status(node, news),
            Some((node, event)) = events.recv() => stage.event(node, &event),
            _ = pictures.tick() => match &mut screen {
                Some(screen) => screen.draw(|frame| view::draw(stage, frame))?,
                None => stage.news().iter().for_each(|line| output::line(line)),
            },
            () = stops.next() => return Ok(Ended::Interrupted),
            key = pressed(&mut screen) => if key == Key::Quit { return Ok(Ended::Interrupted) },
        }
    }
}

/// A key, if there is a live view; else never.
async fn pressed(screen: &mut Option<Screen>) -> Key {
    match screen {
        Some(screen) => screen.key().await,
        None => std::future::pending().await,
    }
}

async fn relay_to_both(relay: &UdpSocket, stage: &Stage, packets: &[Vec<u8>]) {
    for packet in packets {
        for listens in stage.pair().listens {
            // A node that is dead does not listen, which is what the demo is about.
            let _ = relay.send_to(packet, listens).await;
        }
    }
}

fn sender(stage: &Stage, from: SocketAddr) -> Option<Node> {
    stage.pair().listens.iter().position(|listens| SocketAddr::V4(*listens) == from)
}

/// Both nodes' streams as one.
fn both<T: Send + 'static>(open: impl Fn(Node) -> mpsc::Receiver<T>) -> mpsc::Receiver<(Node, T)> {
    let (sender, receiver) = mpsc::channel(64);
    for node in [0, 1] {
        let (mut stream, sender) = (open(node), sender.clone());
        tokio::spawn(async move {
            while let Some(item) = stream.recv().await {
                if sender.send((node, item)).await.is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// What asks a process to stop.
struct Stops {
    signals: [Signal; 3],
}

impl Stops {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| failed("signals cannot be heard", &error));
        let [interrupt, terminate, hang_up] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(listen);
        Ok(Self { signals: [interrupt?, terminate?, hang_up?] })
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hang_up] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}

fn failed(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{what}: {error}"))
}
