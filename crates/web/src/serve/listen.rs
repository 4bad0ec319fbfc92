//! Accepting connections, in the clear or by TLS, and serving them until told to stop.
//!
//! A connection that is slow to shake hands or to send its head is closed; a handshake never holds up the next
//! connection. There are places for so many connections; more wait in the system's queue.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kernel::Result;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::tls::Tls;
use crate::route::PeerCertificate;

/// A head of a request must be there within this time, counted from when the connection waits for one; so a connection
/// without requests is closed after it as well.
const HEAD: Duration = Duration::from_secs(30);
/// A handshake must be done within this time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// So many connections at once.
const CONNECTIONS: usize = 8192;
/// How long open requests may take after the program was told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// A pause after the system refused to give a connection, e.g. for want of file handles.
const BREATH: Duration = Duration::from_millis(200);

/// Serves until `stop` ends, then lets open requests finish, at most ten seconds. With `tls`, in no other way.
pub async fn serve_with<F>(listener: TcpListener, tls: Option<Tls>, app: Router, stop: F) -> Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (told, mut heard) = watch::channel(false);
    tokio::spawn(async move {
        stop.await;
        let _ = told.send(true);
    });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned();
        let accepted = tokio::select! {
            _ = heard.wait_for(|stopping| *stopping) => break,
            accepted = async {
                let place = place.await;
                (place, listener.accept().await)
            } => accepted,
        };
        let (Ok(place), connection) = accepted else { break };
        let (stream, peer) = match connection {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        // Small answers must not wait for a full packet.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let (app, tls) = (app.clone(), tls.clone());
        let stopping = heard.clone();
        tokio::spawn(async move {
            match tls {
                None => one(stream, peer, None, app, stopping).await,
                Some(tls) => {
                    if let Some((stream, certificate)) = shake(stream, &tls).await {
                        one(stream, peer, certificate, app, stopping).await;
                    }
                }
            }
            drop(place);
        });
    }
    drop(listener);
    // When every place is free again, every connection has ended.
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    if tokio::time::timeout(GRACE, places.acquire_many(all)).await.is_err() {
        tracing::warn!("requests were still open ten seconds after the stop; they are cut off");
    }
    Ok(())
}

async fn shake(
    stream: TcpStream,
    tls: &Tls,
) -> Option<(tokio_rustls::server::TlsStream<TcpStream>, Option<PeerCertificate>)> {
    let greeting = TlsAcceptor::from(tls.config()).accept(stream);
    let stream = match tokio::time::timeout(HANDSHAKE, greeting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a handshake failed");
            return None;
        }
        Err(_) => {
            tracing::debug!("a handshake took too long");
            return None;
        }
    };
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
        .map(|certificate| PeerCertificate { der: Arc::from(certificate.as_ref()) });
    Some((stream, certificate))
}

async fn one<S>(
    stream: S,
    peer: SocketAddr,
    certificate: Option<PeerCertificate>,
    app: Router,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        let app = app.clone();
        async move {
            let response: std::result::Result<Response, Infallible> = app.oneshot(request).await;
            response
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(100)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let mut told = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            _ = stopping.wait_for(|stop| *stop), if !told => {
                // What is being answered is finished; nothing new is begun.
                told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        // Browsers close connections as they like; that is no news.
        tracing::trace!(%error, "a connection ended");
    }
}

/// Pages that send everybody to the same path at `base`, by TLS. The host asked for is not believed.
pub fn redirect_to(base: &str) -> Router {
    let base = base.trim_end_matches('/').to_owned();
    Router::new().fallback(move |uri: Uri| {
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        let to = HeaderValue::from_str(&format!("{base}{path}"));
        async move {
            match to {
                Ok(to) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response(),
                Err(_) => StatusCode::BAD_REQUEST.into_response(),
            }
        }
    })
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
