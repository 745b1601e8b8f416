//! The server on threads of its own, for callers that are not asynchronous or must not share their runtime with it.

use super::{WireOptions, serve};
use crate::session::Server;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A running server. It is listening when this exists; stopping it, or dropping it, ends every connection, rolls
/// back what they left open, and waits for that.
#[derive(Debug)]
pub struct Embedded {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Listens on `listen` (port 0: any free one) and serves `server` from threads of its own.
    pub fn start(
        server: Arc<dyn Server>,
        listen: SocketAddr,
        options: WireOptions,
    ) -> io::Result<Self> {
        // Bound here and run there, so that callers inside a runtime of their own may start it too.
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("tds-sockets")
            .enable_all()
            .build()?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("tds-server".to_owned())
            .spawn(move || {
                runtime.block_on(serve(listener, server, options, async {
                    // Dropping the sender stops the server as well as using it.
                    let _ = stopped.await;
                }));
                runtime.shutdown_background();
            })?;
        Ok(Self {
            addr,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops it, as dropping does.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the server's thread panicked");
        }
    }
}
