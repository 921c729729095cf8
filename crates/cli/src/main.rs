//! `standfast`: the daemon and the operator's commands, in one binary.
//!
//! A file per noun holds that noun's arguments and what its commands do; each command ends in an [`Exit`](exit::Exit),
//! whose number scripts can rely on.

#![forbid(unsafe_code)]

mod admin;
mod bench;
mod config;
mod conflicts;
mod demo;
mod doctor;
mod events;
mod exit;
mod explain;
mod failover;
mod leases;
mod output;
mod packet;
mod promotion;
mod question;
mod scope;
mod screen;
mod serve;
mod shell;
mod status;
mod tls;
mod words;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// A fault-tolerant DHCP failover cluster.
#[derive(Parser)]
#[command(name = "standfast", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Subcommand)]
enum Noun {
    /// Answer DHCP clients and follow the partner
    Serve(serve::Serve),
    /// Show a cluster on this machine, and kill its active node
    Demo(demo::Demo),
    /// Say how the cluster is, and what to do
    Status(status::Status),
    /// Change which node is active
    Failover(failover::Failover),
    /// Declare the cluster new: both stores are empty, and that is right
    Init(promotion::Init),
    /// Hold back automatic promotion for some time
    Pause(promotion::Pause),
    /// End a pause
    Resume(promotion::Resume),
    /// Show, disable and enable scopes
    #[command(subcommand)]
    Scope(scope::Scope),
    /// Show, release, export and import leases
    #[command(subcommand)]
    Leases(leases::Leases),
    /// List addresses that two clients were told of
    Conflicts(conflicts::Conflicts),
    /// Say what a node would answer to a client and why, and what it last did
    Explain(explain::Explain),
    /// Look for what is wrong with a node and its surroundings
    ///
    /// Each line is ok, warn or fail, with what to do: sockets, capabilities, who was refused at the port of peers in the
    /// last hour, partners and why one is not reached, foreign servers, clock, certificate, disk, configuration, pools,
    /// firewall. It ends with 40 if a line says fail.
    Doctor(doctor::Doctor),
    /// List what happened
    Events(events::Events),
    /// Load DHCP servers with simulated clients, and measure them
    Bench(bench::Bench),
    /// Check, show and change the configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Make the cluster's private authority and issue certificates
    #[command(subcommand)]
    Tls(tls::Tls),
    /// Print the completions of a shell
    Completions(shell::Completions),
    /// Print the manual page, or write one for each command
    Man(shell::Man),
}

fn main() -> ExitCode {
    // A wrong command line ends here, with clap's own status for it, which is ours.
    let cli = Cli::parse();
    let outcome = match cli.noun {
        Noun::Serve(serve) => serve.run(),
        Noun::Demo(demo) => demo.run(),
        Noun::Status(status) => status.run(),
        Noun::Failover(failover) => failover.run(),
        Noun::Init(init) => init.run(),
        Noun::Pause(pause) => pause.run(),
        Noun::Resume(resume) => resume.run(),
        Noun::Scope(scope) => scope.run(),
        Noun::Leases(leases) => leases.run(),
        Noun::Conflicts(conflicts) => conflicts.run(),
        Noun::Explain(explain) => explain.run(),
        Noun::Doctor(doctor) => doctor.run(),
        Noun::Events(events) => events.run(),
        Noun::Bench(bench) => bench.run(),
        Noun::Config(config) => config.run(),
        Noun::Tls(tls) => tls.run(),
        Noun::Completions(completions) => completions.run(Cli::command()),
        Noun::Man(man) => man.run(Cli::command()),
    };
    exit::end(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// `UPDATE=1 cargo test --workspace reference_has_every_command` writes the page anew.
    #[test]
    fn the_reference_has_every_command() {
        let options = clap_markdown::MarkdownOptions::new().title("Commands".to_owned()).show_footer(false);
        let page = clap_markdown::help_markdown_command_custom(&Cli::command(), &options);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/commands.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        assert!(std::fs::read_to_string(path).unwrap() == page, "run with UPDATE=1: {path} is behind the command line");
    }
}
