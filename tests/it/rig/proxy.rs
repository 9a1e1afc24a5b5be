//! A forward proxy that relays tunnels (RFC 9110, 9.3.6) and counts them.

use std::io::{BufRead as _, BufReader, Write as _, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A proxy. It ends with the process.
pub struct Proxy {
    address: SocketAddr,
    tunnels: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), tunnels: Arc::default() };
        let tunnels = proxy.tunnels.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let tunnels = tunnels.clone();
                thread::spawn(move || tunnel(client, &tunnels));
            }
        });
        proxy
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The targets of tunnels since the last call.
    pub fn tunnels(&self) -> Vec<String> {
        std::mem::take(&mut *self.tunnels.lock().unwrap())
    }
}

fn tunnel(mut client: TcpStream, tunnels: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    for line in BufReader::with_capacity(1, client.try_clone().ok()?).lines() {
        match line.ok()? {
            line if line.is_empty() => break,
            line => head.push(line),
        }
    }
    let target = head.first()?.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    let server = TcpStream::connect(&target).ok()?;
    tunnels.lock().unwrap().push(target);
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    let (mut up, mut to) = (client.try_clone().ok()?, server.try_clone().ok()?);
    thread::spawn(move || {
        let _ = copy(&mut up, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut down = server;
    let _ = copy(&mut down, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    Some(())
}
