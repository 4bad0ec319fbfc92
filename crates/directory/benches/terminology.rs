//! Headline figures of terminology: as-you-type searches over the national diagnoses, `$validate-code`, `$lookup` and
//! `$expand` over HTTP with keep-alive beside an empty handler through the same stack, memory of tables and indexes.
//!
//! `cargo bench -p minkang-directory --bench terminology`; needs the sample data (`MINKANG_SAMPLE_DATA`). Server and
//! client share the machine's cores.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catalog::CodeTable;
use directory::Directory;
use directory::terminology::editions::CodeImport;
use directory::terminology::index::{Query, SearchIndex};
use directory::terminology::reader::{Columns, read_codes};
use futures::future::BoxFuture;
use kernel::{Caller, Clock};
use testkit::TestDb;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use web::serve::{Site, serve};
use web::{Access, Asking, Authenticator, Routes, build_app};

const CONNECTIONS: usize = 32;
const RUN: Duration = Duration::from_secs(5);
const SYSTEM: &str = "http://hl7.org/fhir/sid/icd-10";

/// The same caller for everybody, known without a look-up.
struct Known(Arc<Caller>);

impl Authenticator for Known {
    fn authenticate<'a>(&'a self, _: Asking<'a>) -> BoxFuture<'a, kernel::Result<Option<Arc<Caller>>>> {
        let caller = Arc::clone(&self.0);
        Box::pin(async move { Ok(Some(caller)) })
    }
}

fn main() {
    let folder = std::env::var_os("MINKANG_SAMPLE_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let Ok(file) = std::fs::read(folder.join("cn-codes-icd/icd10_cn.csv")) else {
        println!("skipped: no sample data here (set MINKANG_SAMPLE_DATA to its folder)");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (_db, directory) = runtime.block_on(open(&file));
    let table = contracts::Terminology::tables(&*directory).get("icd10").unwrap().clone();
    let began = Instant::now();
    let index = directory.search_index(&table);
    let built = began.elapsed();
    let codes = table.codes.len();
    println!("icd10: {codes} codes, {} other names; index built in {built:?}", table.aliases.len());
    println!(
        "memory: table {:.0} bytes/code, search index {:.0} bytes/code; {:.1} MB together",
        table.bytes() as f64 / codes as f64,
        index.bytes() as f64 / codes as f64,
        (table.bytes() + index.bytes()) as f64 / 1e6
    );
    searches(&index);
    in_process(&table);
    over_http(&runtime, &directory, &table);
}

async fn open(file: &[u8]) -> (TestDb, Arc<Directory>) {
    let migrations: Vec<_> = [store::migrate::MIGRATIONS, directory::MIGRATIONS].concat();
    let db = TestDb::create(&migrations, &[]).await;
    let shipped = catalog::shipped().unwrap().tables;
    let directory = Arc::new(Directory::open(db.db().clone(), shipped).await.unwrap());
    let import = CodeImport {
        table_id: "icd10".into(),
        edition: "样例".into(),
        complete: true,
        rows: read_codes(file, &Columns::default()).unwrap(),
        loaded_by: "bench".into(),
        ..CodeImport::default()
    };
    directory.import_codes(import, kernel::SystemClock.now()).await.unwrap();
    (db, directory)
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Every prefix of the names, initials, full pinyin and codes of random entries, as somebody types them.
fn searches(index: &Arc<SearchIndex>) {
    let table = index.table();
    let mut dice = Dice(20_260_101);
    let mut typed: HashMap<&str, Vec<String>> = HashMap::new();
    let prefixes = |text: &str, most: usize| -> Vec<String> {
        let chars: Vec<char> = text.chars().take(most).collect();
        (1..=chars.len()).map(|n| chars[..n].iter().collect()).collect()
    };
    for _ in 0..150 {
        let code = &table.codes[dice.below(table.codes.len())];
        typed.entry("name").or_default().extend(prefixes(&code.name, 12));
        let initials = standards::pinyin::initials(&code.name);
        typed.entry("initials").or_default().extend(prefixes(&initials, 10));
        let full: String = code
            .name
            .chars()
            .filter_map(|c| standards::pinyin::readings(c).first().map(ToString::to_string))
            .collect();
        typed.entry("pinyin").or_default().extend(prefixes(&full, 20));
        typed.entry("code").or_default().extend(prefixes(&code.code.to_lowercase(), 8));
        // One wrong letter in the middle: nothing is found at once, and the second pass runs.
        let mut slip: Vec<char> = full.chars().take(14).collect();
        let middle = slip.len() / 2;
        if middle > 2 {
            slip[middle] = 'v';
            typed.entry("slip").or_default().push(slip.iter().collect());
        }
    }
    for kind in ["name", "initials", "pinyin", "code", "slip"] {
        let texts = &typed[kind];
        let mut times: Vec<Duration> = texts
            .iter()
            .map(|text| {
                let began = Instant::now();
                black_box(index.search(Query::typed(text, 20)));
                began.elapsed()
            })
            .collect();
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "search by {kind:<8} {:>5} texts: p50 {:>8.3} ms, p99 {:>8.3} ms, worst {:>8.3} ms",
            times.len(),
            at(0.5).as_secs_f64() * 1e3,
            at(0.99).as_secs_f64() * 1e3,
            at(1.0).as_secs_f64() * 1e3
        );
        assert!(at(0.99) < Duration::from_millis(20), "as-you-type search by {kind} must stay under 20 ms");
    }
}

/// The look-up alone.
fn in_process(table: &CodeTable) {
    let mut dice = Dice(7);
    let codes: Vec<&str> = (0..100_000).map(|_| &*table.codes[dice.below(table.codes.len())].code).collect();
    let began = Instant::now();
    let mut known = 0u64;
    for _ in 0..20 {
        for code in &codes {
            known += u64::from(black_box(table.name_of(code)).is_some());
        }
    }
    let rate = known as f64 / began.elapsed().as_secs_f64();
    println!("in process: {:.1} million look-ups/s on one core", rate / 1e6);
}

fn over_http(runtime: &tokio::runtime::Runtime, directory: &Arc<Directory>, table: &CodeTable) {
    let empty = Routes::new().get("/fhir/empty", Access::SignedIn("bench"), async || "{}");
    let routes = directory::pages::routes(Arc::clone(directory)).merge(empty.with_state(()));
    let app = build_app(routes, Site::new(Arc::new(Known(Arc::new(Caller::system("bench"))))));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(serve(listener, app, std::future::pending()));
    let mut dice = Dice(99);
    let mut some = |make: &dyn Fn(&str) -> String| -> Arc<Vec<Vec<u8>>> {
        let one = |_| {
            // Some codes hold a plus sign, which means a blank in an address.
            let code = table.codes[dice.below(table.codes.len())].code.replace('+', "%2B");
            format!(
                "GET {} HTTP/1.1\r\nHost: minkang.test\r\nAccept: application/fhir+json\r\n\r\n",
                make(&code)
            )
            .into_bytes()
        };
        Arc::new((0..5_000).map(one).collect())
    };
    let empty = some(&|_| "/fhir/empty".to_owned());
    let validate = some(&|code| format!("/fhir/CodeSystem/$validate-code?url={SYSTEM}&code={code}"));
    let lookup = some(&|code| format!("/fhir/CodeSystem/$lookup?system={SYSTEM}&code={code}"));
    let expand = some(&|code| {
        format!("/fhir/ValueSet/icd10/$expand?filter={}&count=20", code.get(..3).unwrap_or(code))
    });
    let limit = rate(address, &empty);
    println!("HTTP, {CONNECTIONS} connections, server and client on the same cores:");
    println!("  empty handler    {limit:>8.0}/s (the limit)");
    for (name, requests) in [("$validate-code", &validate), ("$lookup", &lookup), ("$expand", &expand)] {
        let rate = rate(address, requests);
        println!("  {name:<16} {rate:>8.0}/s ({:.0} % of the limit)", 100.0 * rate / limit);
    }
}

/// Requests a second over connections that stay open, each waiting for its answer before it asks again.
fn rate(address: SocketAddr, requests: &Arc<Vec<Vec<u8>>>) -> f64 {
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    client.block_on(async {
        let mut tasks = Vec::new();
        for n in 0..CONNECTIONS {
            let (requests, done) = (Arc::clone(requests), Arc::clone(&done));
            tasks.push(tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut buffer = vec![0u8; 64 * 1024];
                let mut at = n * 131;
                while began.elapsed() < RUN {
                    stream.write_all(&requests[at % requests.len()]).await.unwrap();
                    answer(&mut stream, &mut buffer).await;
                    done.fetch_add(1, Ordering::Relaxed);
                    at += 1;
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// Reads one answer with a content length and checks that it is good.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.unwrap();
        assert!(read > 0, "the server closed the connection");
        filled += read;
        let text = &buffer[..filled];
        let Some(head) = text.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let said = std::str::from_utf8(&text[..head]).unwrap();
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        let length = said
            .lines()
            .find_map(|line| line.split_once(':').filter(|(k, _)| k.eq_ignore_ascii_case("content-length")))
            .and_then(|(_, v)| v.trim().parse::<usize>().ok())
            .expect("an answer with a length");
        if filled >= head + 4 + length {
            return;
        }
    }
}
