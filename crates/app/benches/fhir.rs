//! The FHIR door: Synthea bundles posted over HTTP, validated, mapped, stored and searchable when the answer comes;
//! beside parsing the same bundles as JSON, which is the least anybody must do with them.
//!
//! `cargo bench -p minkang --bench fhir`. Reads the sample bundles in place (`MINKANG_SAMPLE_DATA`, default
//! `../shared/data` beside the workspace) and says so when they are absent.

#![allow(clippy::print_stdout)] // its figures are its output

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use contracts::{Institutions, NewInstitution};
use kernel::{Caller, RegionCode, SystemClock};
use minkang::platform::{Platform, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Clients that post at once.
const CLIENTS: usize = 2;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(bundles) = bundles()? else {
        println!("no Synthea bundles beside the workspace: nothing measured");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let settings = Settings {
        data: folder.path().to_owned(),
        database_url: None,
        database_owner_url: None,
        catalog_dir: None,
        master_key: None,
        connections: 16,
        base_url: String::new(),
    };
    let platform = Platform::open(&settings, Arc::new(SystemClock), &|_: &str| {}).await?;
    let outcome = measure(&platform, bundles).await;
    platform.close().await?;
    outcome
}

// Unpacked JSON of every bundle.
fn bundles() -> anyhow::Result<Option<Vec<Vec<u8>>>> {
    let root = std::env::var_os("MINKANG_SAMPLE_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(root.join("synthea-r4-dev")) else { return Ok(None) };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.to_string_lossy().ends_with(".json.gz"))
        .collect();
    files.sort();
    let mut out = Vec::new();
    for file in files {
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(std::fs::File::open(file)?).read_to_end(&mut text)?;
        out.push(text);
    }
    Ok((!out.is_empty()).then_some(out))
}

async fn measure(platform: &Platform, bundles: Vec<Vec<u8>>) -> anyhow::Result<()> {
    let institution = platform
        .directory
        .register(NewInstitution {
            code: "12411500MB1A000010".to_owned(),
            name: "基准测试医院".to_owned(),
            class: "A100".to_owned(),
            sender_class: "hospital".to_owned(),
            region: RegionCode::parse("411503")?,
            invented: true,
        })
        .await?;
    let client = platform.identity.create_client(institution, "基准测试", &Caller::system("bench")).await?;
    let began = Instant::now();
    let mut resources = 0;
    for bundle in &bundles {
        let value: serde_json::Value = serde_json::from_slice(bundle)?;
        resources += value["entry"].as_array().map_or(0, Vec::len);
    }
    let parsing = began.elapsed();

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let app =
        web::serve::build_app(platform.routes(), web::serve::Site::new(platform.identity.authenticator()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(web::serve::serve(listener, app, async move {
        let _ = stopped.await;
    }));
    let basic = BASE64_STANDARD.encode(format!("{}:{}", client.client_id, client.secret));
    let bundles = Arc::new(bundles);
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (bundles, next, address, basic) = (bundles.clone(), next.clone(), address.clone(), basic.clone());
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let mut slowest = Duration::ZERO;
            while let Some(bundle) = bundles.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                let began = Instant::now();
                post(&mut stream, &basic, bundle).await?;
                slowest = slowest.max(began.elapsed());
            }
            anyhow::Ok(slowest)
        });
    }
    let mut slowest = Duration::ZERO;
    while let Some(done) = tasks.join_next().await {
        slowest = slowest.max(done??);
    }
    let spent = began.elapsed();
    let stored: i64 = sqlx::query_scalar("select sum(rows_stored)::bigint from batch")
        .fetch_one(platform.db.pool())
        .await?;
    println!(
        "{} bundles, {resources} resources, {stored} rows stored: {:.0} resources/s, slowest bundle {} ms; JSON parsing \
         alone {:.0} resources/s, ratio {:.2}",
        bundles.len(),
        resources as f64 / spent.as_secs_f64(),
        slowest.as_millis(),
        resources as f64 / parsing.as_secs_f64(),
        parsing.as_secs_f64() / spent.as_secs_f64()
    );
    let _ = stop.send(());
    let _ = server.await;
    Ok(())
}

async fn post(stream: &mut TcpStream, basic: &str, bundle: &[u8]) -> anyhow::Result<()> {
    let head = format!(
        "POST /fhir HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic {basic}\r\nContent-Type: application/fhir+json\r\n\
         Content-Length: {}\r\n\r\n",
        bundle.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(bundle).await?;
    let mut data = Vec::new();
    loop {
        anyhow::ensure!(stream.read_buf(&mut data).await? > 0, "connection closed");
        let Some(end) = data.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&data[..end]).into_owned();
        anyhow::ensure!(text.starts_with("HTTP/1.1 200"), "refused: {text}");
        let length: usize = text
            .lines()
            .find_map(|l| l.strip_prefix("content-length: "))
            .map(str::parse)
            .transpose()?
            .unwrap_or(0);
        while data.len() < end + 4 + length {
            anyhow::ensure!(stream.read_buf(&mut data).await? > 0, "connection closed");
        }
        return Ok(());
    }
}
