//! The terminal while a live view has it: raw, on its alternate screen, and given back however the command ends.

use crate::exit::{Exit, Failure};
use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use tokio::sync::mpsc;

pub(crate) struct Screen {
    terminal: DefaultTerminal,
    keys: mpsc::Receiver<Key>,
}

/// What the user did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Quit,
    /// Another key, or another size of the window.
    Other,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// If there is none that can be taken.
    pub(crate) fn take() -> Result<Self, Failure> {
        let terminal = ratatui::try_init().map_err(|error| failed(&error))?;
        let (sender, keys) = mpsc::channel(16);
        // Reading blocks, so that it needs a thread of its own, which ends with the process.
        std::thread::spawn(move || {
            while let Ok(event) = event::read() {
                if sender.blocking_send(key(&event)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { terminal, keys })
    }

    pub(crate) fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        self.terminal.draw(view).map_err(|error| failed(&error))?;
        Ok(())
    }

    /// The next key; a keyboard that went away quits.
    pub(crate) async fn key(&mut self) -> Key {
        self.keys.recv().await.unwrap_or(Key::Quit)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// In raw mode, Ctrl-C is a key like any other.
fn key(event: &Event) -> Key {
    let Event::Key(KeyEvent { code, modifiers, .. }) = event else { return Key::Other };
    let interrupt = *code == KeyCode::Char('c') && modifiers.contains(KeyModifiers::CONTROL);
    let quit = interrupt || matches!(code, KeyCode::Char('q') | KeyCode::Esc);
    if quit { Key::Quit } else { Key::Other }
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("the terminal cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_keys_quit() {
        let pressed = |code, modifiers| key(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL), Key::Quit);
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::NONE), Key::Other);
        assert_eq!(pressed(KeyCode::Char('q'), KeyModifiers::NONE), Key::Quit);
        assert_eq!(pressed(KeyCode::Esc, KeyModifiers::NONE), Key::Quit);
        assert_eq!(key(&Event::Resize(80, 24)), Key::Other);
    }
}
