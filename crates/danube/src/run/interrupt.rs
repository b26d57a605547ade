//! Ctrl-C cancels the job and gives its danubefile time to clean up; a second one does not wait.

use std::io::Write;

use danube_engine::job::Order;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Turns SIGINT, SIGTERM and SIGHUP into orders for the job.
pub fn orders() -> std::io::Result<mpsc::UnboundedReceiver<Order>> {
    let (sender, orders) = mpsc::unbounded_channel();
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [mut interrupt, mut terminate, mut hangup] =
        <[_; 3]>::try_from(kinds.map(signal).into_iter().collect::<Result<Vec<_>, _>>()?)
            .map_err(|_| std::io::ErrorKind::Other)?;
    tokio::spawn(async move {
        let mut order = Order::Cancel;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if order == Order::Cancel {
                // The terminal may be gone: that is why one of the signals comes.
                let _ = writeln!(std::io::stderr(), "cancelling: cleanup code may run; once more to kill");
            }
            if sender.send(order).is_err() {
                return;
            }
            order = Order::Kill;
        }
    });
    Ok(orders)
}
