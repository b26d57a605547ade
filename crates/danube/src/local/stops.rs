//! What asks a program to stop: Ctrl-C, systemd, a terminal that goes away.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Everything that asks to stop.
pub struct Stops([Signal; 3]);

impl Stops {
    /// From now on these no longer end the process by themselves.
    pub fn listen() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    /// Waits until somebody asks.
    pub async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
