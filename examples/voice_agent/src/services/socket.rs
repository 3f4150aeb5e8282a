//! The WebSocket under both speech services.

use super::{Patience, ServiceError};
use crate::secret::Secret;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) struct Socket {
    inner: WebSocketStream<MaybeTlsStream<TcpStream>>,
    patience: Patience,
    secret: Secret,
}

/// What a socket brings.
#[derive(Debug)]
pub(crate) enum Incoming {
    Text(String),
    Lost(ServiceError),
}

impl Socket {
    /// Opens `url`. The key goes into a header, never into the address: addresses end up in logs. No error repeats it.
    pub(crate) async fn open(
        url: &str,
        headers: &[(&'static str, String)],
        secret: &Secret,
        patience: Patience,
    ) -> Result<Self, ServiceError> {
        let opened = Self::connect(url, headers, patience).await;
        match opened {
            Ok(inner) => Ok(Self {
                inner,
                patience,
                secret: secret.clone(),
            }),
            Err(error) => Err(error.redacted(secret)),
        }
    }

    async fn connect(
        url: &str,
        headers: &[(&'static str, String)],
        patience: Patience,
    ) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, ServiceError> {
        let permanent = |message: String| ServiceError {
            kind: "invalid_request".into(),
            message,
            transient: false,
            retry_after: None,
            unauthorized: false,
        };
        let mut request = url
            .into_client_request()
            .map_err(|error| permanent(format!("{url}: {error}")))?;
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value).map_err(|_| {
                permanent(format!(
                    "the value of the header {name} has characters no header may have"
                ))
            })?;
            value.set_sensitive(true);
            request.headers_mut().insert(*name, value);
        }
        match timeout(patience.connect, connect_async(request)).await {
            Ok(Ok((inner, _))) => Ok(inner),
            Ok(Err(Error::Http(response))) => {
                let body = response
                    .body()
                    .as_deref()
                    .map(String::from_utf8_lossy)
                    .unwrap_or_default();
                Err(ServiceError::status(response.status().as_u16(), &body))
            }
            Ok(Err(error)) => Err(ServiceError::lost(error)),
            Err(_) => Err(ServiceError::timeout("connecting", patience.connect)),
        }
    }

    /// Sends; a peer that does not take what it is sent counts as lost.
    pub(crate) async fn send(&mut self, message: Message) -> Result<(), ServiceError> {
        match timeout(self.patience.silence, self.inner.send(message)).await {
            Ok(sent) => sent.map_err(|error| ServiceError::lost(error).redacted(&self.secret)),
            Err(_) => Err(ServiceError::timeout("sending", self.patience.silence)),
        }
    }

    pub(crate) async fn send_json(
        &mut self,
        value: &serde_json::Value,
    ) -> Result<(), ServiceError> {
        self.send(Message::text(value.to_string())).await
    }

    /// The next text message. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Incoming {
        loop {
            let error = match self.inner.next().await {
                Some(Ok(Message::Text(text))) => return Incoming::Text(text.as_str().to_owned()),
                Some(Ok(Message::Close(Some(frame)))) => ServiceError::lost(format!(
                    "closed with {}: {}",
                    u16::from(frame.code),
                    frame.reason
                )),
                Some(Ok(Message::Close(None))) | None => {
                    ServiceError::lost("closed by the provider")
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => ServiceError::lost(error),
            };
            return Incoming::Lost(error.redacted(&self.secret));
        }
    }

    /// Says goodbye, without waiting long for an answer.
    pub(crate) async fn close(mut self) {
        let _ = timeout(self.patience.connect, self.inner.close(None)).await;
    }
}
