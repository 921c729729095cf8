//! `standfast`: the daemon and the operator's commands, in one binary.
//!
//! A file per noun holds that noun's arguments and what its commands do; each command ends in an [`Exit`](exit::Exit),
//! whose number scripts can rely on.

#![forbid(unsafe_code)]

mod config;
mod exit;
mod output;
mod serve;
mod shell;
mod tls;

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
    /// Check the cluster file
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
}
