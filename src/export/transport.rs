//! TCP to a collector, directly or through a proxy.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector, proxy::Tunnel},
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::environment::Proxy;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connects to one collector.
#[derive(Debug, Clone)]
pub(crate) enum Transport {
    Direct(HttpConnector),
    /// The proxy is asked for a connection to the collector: what `https` needs.
    Tunnel(Tunnel<HttpConnector>),
    /// The proxy is sent the request itself: what proxies expect of `http`.
    Forward(HttpConnector, Uri),
}

impl Transport {
    pub(crate) fn new(proxy: Option<&Proxy>, https: bool) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        // It is asked for `https` URLs too: TLS is put on top of it.
        tcp.enforce_http(false);
        match proxy {
            None => Self::Direct(tcp),
            Some(proxy) if https => {
                let tunnel = Tunnel::new(proxy.uri.clone(), tcp);
                Self::Tunnel(match &proxy.authorization {
                    Some(value) => tunnel.with_auth(value.clone()),
                    None => tunnel,
                })
            }
            Some(proxy) => Self::Forward(tcp, proxy.uri.clone()),
        }
    }
}

impl Service<Uri> for Transport {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(tcp) | Self::Forward(tcp, _) => {
                tcp.poll_ready(context).map_err(Into::into)
            }
            Self::Tunnel(tunnel) => tunnel.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let proxied = matches!(self, Self::Forward(..));
        let stream = move |io| Stream { io, proxied };
        match self {
            Self::Direct(tcp) => {
                let connect = tcp.call(destination);
                Box::pin(async move { Ok(stream(connect.await?)) })
            }
            Self::Tunnel(tunnel) => {
                let connect = tunnel.call(destination);
                Box::pin(async move { Ok(stream(connect.await?)) })
            }
            Self::Forward(tcp, proxy) => {
                let connect = tcp.call(proxy.clone());
                Box::pin(async move { Ok(stream(connect.await?)) })
            }
        }
    }
}

/// A TCP connection that knows whether its other end is a proxy, which wants the whole URL in the request line.
#[derive(Debug)]
pub(crate) struct Stream {
    io: TokioIo<TcpStream>,
    proxied: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.proxied)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }
}
