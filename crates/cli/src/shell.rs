//! `standfast completions` and `standfast man`: what packages ship beside the binary, made from the command line itself.

use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use clap::{Args, Command};
use clap_complete::Shell;
use std::path::{Path, PathBuf};

const BINARY: &str = "standfast";

#[derive(Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Args)]
pub(crate) struct Man {
    /// Write a page for each command into this folder, instead of printing the first one
    dir: Option<PathBuf>,
}

impl Completions {
    pub(crate) fn run(self, mut command: Command) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, BINARY, &mut script);
        output::raw(&script);
        Ok(Exit::Done)
    }
}

impl Man {
    pub(crate) fn run(self, command: Command) -> Outcome {
        let Some(dir) = &self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page).map_err(|error| Failure::new(Exit::Failed, error))?;
            output::raw(&page);
            return Ok(Exit::Done);
        };
        write_pages(command, dir).map_err(|error| {
            Failure::new(Exit::Failed, format!("the manual pages cannot be written to {}: {error}", dir.display()))
        })?;
        Ok(Exit::Done)
    }
}

fn write_pages(command: Command, dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(command, dir)
}
