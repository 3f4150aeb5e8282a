//! rustls with its default features, through tokio-tungstenite, which leaves the provider to rustls.

use std::{error::Error, net::TcpListener};

use tokio_tungstenite::connect_async;

include!("../../with.rs");

fn main() -> Result<(), Box<dyn Error>> {
    use_tracing_conversation();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // Every connection is closed at once, which is after the provider has been chosen.
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let connected = runtime.block_on(connect_async(format!("wss://{address}/")));
    println!("wss: connected {}", connected.is_ok());
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    println!("groups: {:?}", config.crypto_provider().kx_groups);
    Ok(())
}
