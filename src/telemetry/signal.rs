//! Ends the program on a signal, after a last act.

use std::{io, sync::mpsc, thread};

use tokio::sync::oneshot;

/// Calls `last_act` when the program is told to end, then ends it with the exit code of that signal. A second signal ends it
/// at once.
pub(super) fn on_signal(last_act: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut signals = {
        let _runtime = runtime.enter();
        // Now and not on the thread, so that a signal that comes right after the call is not missed.
        Signals::listen()?
    };
    let (run, asked) = mpsc::channel();
    let (done, finished) = oneshot::channel();
    // Threads are made while there may be an error to return.
    thread::Builder::new()
        .name("exit-on-signal".into())
        .spawn(move || {
            if asked.recv().is_ok() {
                last_act();
                let _ = done.send(());
            }
        })?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let code = runtime.block_on(async {
                let code = signals.next().await;
                if run.send(()).is_err() {
                    return code;
                }
                tokio::select! {
                    // An error means that it has panicked, which is an end as well.
                    _ = finished => code,
                    code = signals.next() => code,
                }
            });
            std::process::exit(code);
        })?;
    Ok(())
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> i32 {
        let _ = tokio::signal::ctrl_c().await;
        130
    }
}
