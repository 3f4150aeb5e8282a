//! Collectors of both kinds that keep the names of what they get, and can be told what to answer.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tonic::{Code, Request, Response, Status, transport::server::TcpIncoming};

use crate::support::{self, Reply, spans};

/// What a collector does with requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Take,
    /// Takes nothing for the time being.
    Busy,
    /// Takes all but one span of each request.
    RejectOne,
    /// Refuses for good.
    Refuse,
}

pub enum Collector {
    Http(support::Server),
    Grpc(Service, SocketAddr),
}

impl Collector {
    pub fn http() -> Self {
        Self::Http(support::Server::start())
    }

    pub fn grpc() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let service = Service::default();
        let server = TraceServiceServer::new(service.clone());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tonic::transport::Server::builder()
                    .add_service(server)
                    .serve_with_incoming(TcpIncoming::from(listener))
                    .await
                    .unwrap();
            });
        });
        Self::Grpc(service, address)
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Http(server) => SocketAddr::from(([127, 0, 0, 1], server.port())),
            Self::Grpc(_, address) => *address,
        }
    }

    pub fn set(&self, mode: Mode) {
        match self {
            Self::Http(server) => server.reply_always(match mode {
                Mode::Take => None,
                Mode::Busy => Some(Reply::Status(
                    "503 Service Unavailable",
                    "retry-after: 0",
                    b"",
                )),
                Mode::RejectOne => Some(Reply::PartialSuccess(1, "one too many")),
                Mode::Refuse => Some(Reply::Status("401 Unauthorized", "", b"no such key")),
            }),
            Self::Grpc(service, _) => service.0.lock().unwrap().mode = Some(mode),
        }
    }

    /// How often each span was taken, by its name.
    pub fn taken(&self) -> HashMap<String, u32> {
        match self {
            Self::Http(server) => {
                let mut taken = HashMap::new();
                for name in server.names() {
                    *taken.entry(name).or_default() += 1;
                }
                taken
            }
            Self::Grpc(service, _) => service.0.lock().unwrap().taken.clone(),
        }
    }
}

#[derive(Default)]
struct State {
    mode: Option<Mode>,
    taken: HashMap<String, u32>,
}

#[derive(Clone, Default)]
pub struct Service(Arc<Mutex<State>>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut state = self.0.lock().unwrap();
        let partial_success = match state.mode.unwrap_or(Mode::Take) {
            Mode::Take => None,
            Mode::Busy => return Err(Status::new(Code::Unavailable, "busy")),
            Mode::Refuse => return Err(Status::new(Code::Unauthenticated, "no such key")),
            Mode::RejectOne => Some(ExportTracePartialSuccess {
                rejected_spans: 1,
                error_message: "one too many".into(),
            }),
        };
        for span in spans(request.get_ref()) {
            *state.taken.entry(span.name.clone()).or_default() += 1;
        }
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success,
        }))
    }
}
