//! Keys of `danube dev`: single ones, without Enter, where there is a terminal.

use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `r`: run again.
    Run,
    /// `l`: another link to log in.
    Link,
    /// `q`: stop.
    Quit,
}

/// Reads keys; the terminal is as it was when this is dropped.
pub struct Keys {
    pressed: mpsc::UnboundedReceiver<Key>,
    before: Option<Termios>,
}

impl Keys {
    /// Without a terminal no key ever comes.
    pub fn read() -> Self {
        let (sender, pressed) = mpsc::unbounded_channel();
        let before = if io::stdin().is_terminal() { single_keys().ok() } else { None };
        if before.is_some() {
            // A read of the terminal cannot be interrupted: the thread ends with the process.
            std::thread::spawn(move || {
                for key in io::stdin().lock().bytes().map_while(Result::ok).filter_map(key) {
                    if sender.send(key).is_err() {
                        return;
                    }
                }
            });
        }
        Self { pressed, before }
    }

    /// Whether there is a terminal to press them at.
    pub fn are_read(&self) -> bool {
        self.before.is_some()
    }

    /// The next key.
    pub async fn next(&mut self) -> Key {
        match self.pressed.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // The terminal may be gone.
            let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, before);
        }
    }
}

const fn key(byte: u8) -> Option<Key> {
    match byte {
        b'r' | b'R' => Some(Key::Run),
        b'l' | b'L' => Some(Key::Link),
        b'q' | b'Q' => Some(Key::Quit),
        _ => None,
    }
}

/// Keys come one by one and are not shown; Ctrl-C stays a signal. Gives what was before.
fn single_keys() -> rustix::io::Result<Termios> {
    let before = tcgetattr(io::stdin().as_fd())?;
    let mut single = before.clone();
    single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &single)?;
    Ok(before)
}
