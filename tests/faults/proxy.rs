//! A TCP proxy in front of a collector that can be away, cut off answers and keep them back.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What the proxy does with what the collector sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    Pass,
    /// Keeps them back, and so is as good as dead.
    Withhold,
    /// Breaks the connection in place of the next answer, then passes.
    CutOne,
}

struct State {
    answers: Answers,
    open: bool,
    connections: Vec<TcpStream>,
}

#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    collector: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub fn start(collector: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            collector,
            state: Arc::new(Mutex::new(State {
                answers: Answers::Pass,
                open: true,
                connections: Vec::new(),
            })),
        };
        proxy.serve(listener);
        proxy
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn answers(&self, answers: Answers) {
        self.state.lock().unwrap().answers = answers;
    }

    /// Breaks every connection and refuses new ones.
    pub fn close(&self) {
        let connections = {
            let mut state = self.state.lock().unwrap();
            state.open = false;
            std::mem::take(&mut state.connections)
        };
        for connection in connections {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Lets the listener go, which waits for one more connection.
        let _ = TcpStream::connect(self.address);
    }

    pub fn open(&self) {
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        };
        self.state.lock().unwrap().open = true;
        self.serve(listener);
    }

    fn serve(&self, listener: TcpListener) {
        let proxy = self.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !proxy.state.lock().unwrap().open {
                    return;
                }
                let Ok(collector) = TcpStream::connect(proxy.collector) else {
                    continue;
                };
                let _ = client.set_nodelay(true);
                let _ = collector.set_nodelay(true);
                let both = |stream: &TcpStream| stream.try_clone().unwrap();
                {
                    let mut state = proxy.state.lock().unwrap();
                    state.connections.push(both(&client));
                    state.connections.push(both(&collector));
                }
                let (from, to) = (both(&client), both(&collector));
                thread::spawn(move || {
                    let _ = io::copy(&mut &from, &mut &to);
                    let _ = to.shutdown(Shutdown::Write);
                });
                let state = Arc::clone(&proxy.state);
                thread::spawn(move || {
                    let _ = answer(&collector, &client, &state);
                    let _ = client.shutdown(Shutdown::Both);
                    let _ = collector.shutdown(Shutdown::Both);
                });
            }
        });
    }
}

fn answer(
    mut collector: &TcpStream,
    mut client: &TcpStream,
    state: &Mutex<State>,
) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    loop {
        let length = collector.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let answers = {
            let mut state = state.lock().unwrap();
            let answers = state.answers;
            if answers == Answers::CutOne {
                state.answers = Answers::Pass;
            }
            answers
        };
        match answers {
            Answers::Pass => client.write_all(&buffer[..length])?,
            Answers::Withhold => {}
            Answers::CutOne => return Ok(()),
        }
    }
}
