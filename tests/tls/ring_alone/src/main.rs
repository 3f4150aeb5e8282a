//! rustls with ring and nothing else: its builder finds the one provider that there is.

include!("../../with.rs");

fn main() {
    use_tracing_conversation();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let provider = config.crypto_provider();
    println!("suites: {:?}", provider.cipher_suites);
    println!("groups: {:?}", provider.kx_groups);
}
