//! The program `minkang`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    minkang::commands::main().await
}
