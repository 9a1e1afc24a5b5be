//! A TCP relay to a server on this machine, which a test can interrupt.

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Relays connections to a port of 127.0.0.1 until it is disconnected.
pub struct TcpRelay {
    /// The port to connect to.
    pub port: u16,
    server_port: Arc<AtomicU16>,
    connected: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl TcpRelay {
    /// Creates a relay to a port.
    pub fn to(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (server_port, connected) = (Arc::new(AtomicU16::new(server_port)), Arc::new(AtomicBool::new(true)));
        let relay = Self { port, server_port, connected, streams: Arc::default() };
        let (server_port, connected, streams) =
            (relay.server_port.clone(), relay.connected.clone(), relay.streams.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // While it is disconnected, a new connection is closed at once.
                if connected.load(Ordering::SeqCst)
                    && let Ok(server) = TcpStream::connect(("127.0.0.1", server_port.load(Ordering::SeqCst)))
                {
                    streams.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                    copy_stream(client.try_clone().unwrap(), server.try_clone().unwrap());
                    copy_stream(server, client);
                }
            }
        });
        relay
    }

    /// Ends all connections, and closes new ones at once.
    pub fn disconnect(&self) {
        self.connected.store(false, Ordering::SeqCst);
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends all connections, and relays new ones to another port.
    pub fn redirect_to(&self, server_port: u16) {
        self.disconnect();
        self.server_port.store(server_port, Ordering::SeqCst);
        self.reconnect();
    }

    /// Relays new connections again.
    pub fn reconnect(&self) {
        self.connected.store(true, Ordering::SeqCst);
    }
}

fn copy_stream(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
