//! reqwest without any feature: its client is made, speaks HTTP, and refuses HTTPS with an error.

use std::{
    error::Error,
    io::{Read, Write},
    net::TcpListener,
};

include!("../../with.rs");

fn main() -> Result<(), Box<dyn Error>> {
    use_tracing_conversation();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let answer = client.get(format!("http://{address}/")).send().await?;
        println!("http: {}", answer.status());
        match client.get(format!("https://{address}/")).send().await {
            Ok(answer) => println!("https: {}", answer.status()),
            Err(error) => println!("https: error, connect {}", error.is_connect()),
        }
        Ok(())
    })
}
