//! SIGTERM and Ctrl-C: the first ends the run, the second the process.
//!
//! Only runs (`extract`, `load`, `sync`, `quarantine retry`) take notice of them. Every other command dies of a signal
//! at once, as any process does: it may be killed at any moment, and has no report of what it did so far.

use super::output::say;
use icesync::report::Signal;
use icesync::sync::Stop;
use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// Ends the run at the first signal, and the process at the second. The thread is not one of the run's, so a second
/// signal ends a run whose threads are all busy or stuck. Where signals cannot be had, they end the process at once.
pub fn listen(stop: Stop) {
    let thread = std::thread::Builder::new().name("signals".to_owned());
    let listening = thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(obey(&stop))
    });
    if let Err(error) = listening {
        tracing::warn!("signals end the run at once: {error}");
    }
}

async fn obey(stop: &Stop) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        let signal = tokio::select! {
            Some(()) = terminate.recv() => Signal::Terminate,
            Some(()) = interrupt.recv() => Signal::Interrupt,
            else => return Ok(()),
        };
        if stop.signal().is_some() {
            std::process::exit(signal.exit().code().into());
        }
        stop.set(signal);
        say(format_args!(
            "{}: the run ends as soon as that is safe; a second signal ends it at once",
            signal.name()
        ));
    }
}
