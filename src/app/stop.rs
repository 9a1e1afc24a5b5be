//! The stop of the process, which ends the tasks in the background.

use tokio::sync::watch;

/// Is `true` once the process stops.
pub type Stop = watch::Receiver<bool>;

/// Waits until the process stops.
pub async fn wait_for_stop(mut stop: Stop) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Runs a task, which is dropped when the process stops.
pub async fn run_until_stopped(stop: Stop, task: impl Future<Output = ()>) {
    tokio::select! {
        () = task => {}
        () = wait_for_stop(stop) => {}
    }
}
