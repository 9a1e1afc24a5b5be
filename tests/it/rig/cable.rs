//! A TCP relay to a server on this machine, which a test can interrupt.

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Relays connections to a port of 127.0.0.1 until it is unplugged.
pub struct Cable {
    /// The port to connect to.
    pub port: u16,
    far: Arc<AtomicU16>,
    plugged: Arc<AtomicBool>,
    carried: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    /// Creates a relay to a port.
    pub fn to(far: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (far, plugged) = (Arc::new(AtomicU16::new(far)), Arc::new(AtomicBool::new(true)));
        let cable = Self { port, far, plugged, carried: Arc::default() };
        let (far, plugged, carried) = (cable.far.clone(), cable.plugged.clone(), cable.carried.clone());
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // A connection while it is unplugged is closed at once.
                if plugged.load(Ordering::SeqCst)
                    && let Ok(far) = TcpStream::connect(("127.0.0.1", far.load(Ordering::SeqCst)))
                {
                    carried.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                    carry(near.try_clone().unwrap(), far.try_clone().unwrap());
                    carry(far, near);
                }
            }
        });
        cable
    }

    /// Unplugs it: all connections end, and new ones are closed.
    pub fn pull_out(&self) {
        self.plugged.store(false, Ordering::SeqCst);
        for stream in self.carried.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends all connections, and relays new ones to another port.
    pub fn lead_to(&self, far: u16) {
        self.pull_out();
        self.far.store(far, Ordering::SeqCst);
        self.plug_in();
    }

    /// Plugs it in again.
    pub fn plug_in(&self) {
        self.plugged.store(true, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
